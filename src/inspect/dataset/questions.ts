import type { Thumbnail } from '../../data/images/thumbnail';
import type { RowSettings } from '../../data/rows/settings';
import type { SerializedError } from '../../shared/errors';
import type {
  DataJobKind,
  DataRow,
  DataStatistics,
  Field,
  FilterCounts,
  Leak,
  RowDetail,
  WantedRows,
} from '../../shared/pages/data/protocol';

/** A dataset to be shown. */
export interface DataOpening {
  readonly file: string;
  readonly settings: RowSettings;
}

/** What is known of a file once it is open. */
export interface DataFacts {
  readonly format: string;
  readonly bytes: number;
  readonly unit: 'line' | 'row';
  /** Why its rows cannot be edited. */
  readonly readOnly: 'packed' | 'format' | null;
}

/** Whose tokens are counted, and how rows are cut. */
export interface DataBase {
  readonly base: string;
  readonly maxLength: number;
  readonly labels: 'assistant' | 'all';
}

/** Rows of the present view. `measure`: with their tokens, which takes longer. */
export interface RowsAsked {
  readonly file: string;
  readonly view: number;
  readonly from: number;
  readonly count: number;
  readonly measure: boolean;
}

export interface RowsAnswer {
  readonly view: number;
  readonly version: number;
  readonly from: number;
  readonly rows: readonly DataRow[];
}

/** Work on all rows. */
export type DataWork =
  | { readonly job: 'tokens' }
  | { readonly job: 'near' }
  | { readonly job: 'find'; readonly wanted: WantedRows }
  | { readonly job: 'leaks'; readonly other: string }
  | {
      readonly job: 'split';
      readonly share: number;
      readonly seed: number;
      readonly train: string;
      readonly validation: string;
    };

/** What a job found or wrote. */
export type DataResult =
  | {
      readonly kind: 'leaks';
      readonly other: string;
      readonly rows: number;
      readonly equal: number;
      readonly near: number;
      readonly listed: readonly Leak[];
    }
  | {
      readonly kind: 'split';
      readonly train: string;
      readonly validation: string;
      readonly trainRows: number;
      readonly validationRows: number;
      /** Rows that are in neither. */
      readonly excluded: number;
    }
  | { readonly kind: 'near'; readonly rows: number };

export interface DataProgress {
  readonly view: number;
  readonly version: number;
  readonly total: number;
  readonly isComplete: boolean;
  readonly counts: FilterCounts;
  readonly jobs: readonly { readonly job: DataJobKind; readonly done: number }[];
  readonly ends: readonly (
    | { readonly kind: 'failed'; readonly job: DataJobKind; readonly error: SerializedError }
    | DataResult
  )[];
}

/** A row to be written. `fields`: its texts that change; `raw`: its JSON instead. */
export interface DataEdit {
  readonly file: string;
  readonly row: number;
  /** Of the row as it was shown. */
  readonly hash: string;
  readonly fields: readonly Field[];
  readonly raw: string | null;
}

/** What an edit would write. */
export interface PlannedEdit {
  readonly number: number;
  readonly before: string;
  readonly after: string;
}

/** Lines that are written in the place of others; `before` must be what the file has there. */
export interface DataWrite {
  readonly file: string;
  readonly row: number;
  readonly before: string;
  readonly after: string;
  /** The editor has written the file: only what is known of it changes. */
  readonly isWritten: boolean;
}

/** Questions on the dataset that is open, and which opens it. One is open in a process. */
export interface DataQuestions {
  readonly dataOpen: { readonly asked: DataOpening; readonly answer: DataFacts };
  readonly dataBase: {
    readonly asked: DataBase & { readonly file: string };
    readonly answer: { readonly name: string; readonly limit: number };
  };
  readonly dataRows: { readonly asked: RowsAsked; readonly answer: RowsAnswer };
  readonly dataRow: {
    readonly asked: { readonly file: string; readonly row: number };
    readonly answer: RowDetail;
  };
  /** Of an image of a row. */
  readonly dataThumbnail: {
    readonly asked: { readonly file: string; readonly row: number; readonly image: number };
    readonly answer: Thumbnail;
  };
  readonly dataProgress: {
    readonly asked: { readonly file: string };
    readonly answer: DataProgress;
  };
  readonly dataStatistics: {
    readonly asked: { readonly file: string };
    readonly answer: DataStatistics | null;
  };
  readonly dataStart: {
    readonly asked: { readonly file: string; readonly work: DataWork };
    readonly answer: null;
  };
  readonly dataStop: {
    readonly asked: { readonly file: string; readonly job: DataJobKind };
    readonly answer: null;
  };
  /** Rows by their places, or all of the view. Returns the rows that changed. */
  readonly dataExclude: {
    readonly asked: {
      readonly file: string;
      readonly rows: readonly number[] | 'view';
      readonly isExcluded: boolean;
    };
    readonly answer: readonly number[];
  };
  readonly dataPlanEdit: { readonly asked: DataEdit; readonly answer: PlannedEdit };
  readonly dataWrite: { readonly asked: DataWrite; readonly answer: null };
  /** Some rows as JSON, from all over the file, as examples for others. */
  readonly dataSamples: {
    readonly asked: { readonly file: string; readonly count: number };
    readonly answer: readonly string[];
  };
  /** What is wrong in a row that is not in the file yet, and what it says. */
  readonly dataRead: {
    readonly asked: { readonly file: string; readonly text: string };
    readonly answer: Pick<RowDetail, 'turns'> & { readonly fault: string | null };
  };
  readonly dataAppend: {
    readonly asked: { readonly file: string; readonly text: string };
    readonly answer: null;
  };
}
