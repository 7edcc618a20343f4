import type { RawRow } from '../../formats/tables/table';
import type { DataJobs } from './jobs';
import type { RowFacts } from './rowFacts';
import type { ReadRow, RowReading } from './rowReader';
import type { TokenCounter } from './tokenCounter';

/** The dataset of a page, as jobs and edits use it. */
export interface OpenedDataset {
  readonly jobs: DataJobs;
  /** Replaced by others when the file has been read again. */
  readonly facts: RowFacts;
  readonly reading: RowReading;
  /** Null without a model. */
  readonly counter: TokenCounter | null;
  /** The most tokens that are learned of a row; infinite without a model. */
  readonly limit: number;
  /** Rows that are known to exist. */
  readonly total: number;
  /** Of each row, the first of its near-duplicates; null: they were not searched. */
  readonly groups: Int32Array | null;
  setGroups(groups: Int32Array): void;
  /** Rows by their places; null for those that are no longer there. */
  rawRows(rows: readonly number[]): Promise<(RawRow | null)[]>;
  /** @throws LoraError('dataset') where there is no such row */
  readRow(row: number): Promise<ReadRow>;
  /**
   * After a row was written, or one after the last: the rows after it begin so many bytes later.
   */
  rewritten(row: number, bytes: number): Promise<void>;
  /** Where an error of the file is. */
  placed(): { readonly place: { readonly file: string } };
}
