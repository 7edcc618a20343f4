import type {
  DataHostMessage,
  DataPageMessage,
  DataPageState,
  DataStatistics,
  Draft,
  RowDetail,
  WantedRows,
} from '../../src/shared/pages/data/protocol';
import type { DataStringKey } from '../../src/shared/pages/data/strings';
import type { ShownThumbnail } from '../../src/shared/pages/thumbnail';
import type { Page } from '../shared/page';
import { SCROLL_START, type RowRange, type Scrolling } from '../shared/scroll';
import { withRows, type KnownRows } from './model/rows';

export type DatasetMessage = Extract<DataHostMessage, { kind: 'dataset' }>;
export type ProgressMessage = Extract<DataHostMessage, { kind: 'progress' }>;
export type LeaksMessage = Extract<DataHostMessage, { kind: 'leaks' }>;

/** The texts of the opened row that are being changed. */
export interface Editing {
  /** As one text of JSON, instead of the fields. */
  readonly isRaw: boolean;
  readonly fields: readonly string[];
  readonly raw: string;
}

export interface DataState {
  readonly dataset: DatasetMessage | null;
  /** Why the file cannot be read. */
  readonly fault: string | null;
  readonly progress: ProgressMessage | null;
  readonly rows: KnownRows;
  /** What the host said of the rows before; shown until it says it again. */
  readonly stale: KnownRows;
  /** What the host has not answered yet. */
  readonly asked: RowRange | null;
  readonly scrolling: Scrolling;
  /** The height of the visible rows, in pixels. */
  readonly visible: number;
  /** The place of the active row in the view. */
  readonly place: number;
  readonly wanted: WantedRows;
  readonly detail: RowDetail | null;
  /** Of the images of the opened row, as far as they are there. */
  readonly thumbnails: ReadonlyMap<number, ShownThumbnail>;
  readonly editing: Editing | null;
  readonly statistics: DataStatistics | null;
  readonly leaks: LeaksMessage | null;
  readonly drafts: readonly Draft[];
  readonly isWriting: boolean;
  readonly said: { readonly message: string; readonly isError: boolean } | null;
  /** What VS Code keeps. */
  readonly kept: DataPageState;
}

export type DataPage = Page<DataState, DataPageMessage, DataStringKey>;

const NO_ROWS: KnownRows = new Map();
export const ALL_ROWS: WantedRows = { filter: 'all', text: '', isPattern: false, matchCase: false };

export const initialData = (kept: DataPageState): DataState => ({
  dataset: null,
  fault: null,
  progress: null,
  rows: NO_ROWS,
  stale: NO_ROWS,
  asked: null,
  scrolling: SCROLL_START,
  visible: 0,
  place: 0,
  wanted: ALL_ROWS,
  detail: null,
  thumbnails: new Map(),
  editing: null,
  statistics: null,
  leaks: null,
  drafts: [],
  isWriting: false,
  said: null,
  kept,
});

export function reduceData(state: DataState, message: DataHostMessage): DataState {
  switch (message.kind) {
    case 'dataset':
      return { ...state, dataset: message, fault: null };
    case 'progress':
      return withProgress(state, message);
    case 'rows':
      return withAnswer(state, message);
    case 'detail':
      return { ...state, detail: message.detail, thumbnails: new Map(), editing: null };
    case 'thumbnail':
      return withThumbnail(state, message);
    case 'saved':
      return { ...state, editing: null };
    case 'statistics':
      return { ...state, statistics: message.statistics };
    case 'leaks':
      return { ...state, leaks: message };
    case 'drafts':
      return { ...state, drafts: message.drafts, isWriting: message.isWriting };
    case 'said':
      return { ...state, said: message };
    case 'fault':
      return { ...state, dataset: null, fault: message.message };
  }
}

function withThumbnail(
  state: DataState,
  { row, image, thumbnail }: Extract<DataHostMessage, { kind: 'thumbnail' }>,
): DataState {
  if (state.detail?.row !== row) return state;
  return { ...state, thumbnails: new Map([...state.thumbnails, [image, thumbnail]]) };
}

function withProgress(state: DataState, progress: ProgressMessage): DataState {
  const { progress: before, rows, stale } = state;
  const place = Math.max(0, Math.min(state.place, progress.total - 1));
  const next = { ...state, progress, place, asked: null };
  if (before?.view !== progress.view)
    return { ...next, rows: NO_ROWS, stale: NO_ROWS, scrolling: SCROLL_START, place: 0 };
  if (before.version === progress.version) return { ...next, asked: state.asked };
  return { ...next, rows: NO_ROWS, stale: new Map([...stale, ...rows]) };
}

function withAnswer(state: DataState, message: Extract<DataHostMessage, { kind: 'rows' }>) {
  const { view, version } = state.progress ?? {};
  if (message.view !== view || message.version !== version) return state;
  // an empty answer must not be asked for again at once
  if (message.rows.length === 0) return state;
  return { ...state, asked: null, rows: withRows(state.rows, message.from, message.rows) };
}
