import type { FileFingerprint } from '../../shared/run';
import type { CollectorSettings, ProblemCollector } from '../dataset/problems';
import type { Label } from '../rows/row';

/** A row of numbers with its label. */
export interface FeatureRow {
  readonly line: number;
  readonly values: Float32Array;
  readonly label: Label | readonly Label[];
}

/** The rows of a file. */
export interface FeatureFile {
  readonly path: string;
  readonly rows: readonly FeatureRow[];
  /** Names of the columns; null: the file has none. */
  readonly columns: readonly string[] | null;
  readonly problems: ProblemCollector;
  readonly fingerprints: readonly FileFingerprint[];
}

/** How a file is read. */
export interface FeatureSettings {
  /** The column of labels. */
  readonly label: string;
  /** Numbers that each row must have. */
  readonly width: number;
  /** The columns of another file, which this one must have, too. */
  readonly columns: readonly string[] | null;
  readonly collector: CollectorSettings;
}
