import { LoraError, type Problem } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import type { RowSettings } from '../rows/settings';
import {
  changedWhileRead,
  checkKind,
  MAX_LINE_BYTES,
  readLineAt,
  readLines,
  type DatasetLine,
  type OnBytes,
} from './lines';
import { ProblemCollector, type CollectorSettings } from './problems';
import { RowReport } from '../rows/rowReport';
import { readImageFolder } from '../images/folder';
import { readRow } from '../rows/readRow';
import type { Row } from '../rows/row';

/** Called with each row that has no errors, and the place of its line in the file, in bytes. */
export type OnRow = (row: Row, offset: number) => void;

/** The rows of a file or folder, which are read again whenever they are needed. */
export interface Dataset {
  readonly path: string;
  /** Rows without those that have errors or are skipped. */
  readonly rows: number;
  /** Errors in the order of the file, then warnings. */
  readonly problems: readonly Problem[];
  /** Rows that are left out because they have errors (skip_faulty_rows). */
  readonly skippedRows: number;
  /** Null where the file could not be read. */
  readonly fingerprint: FileFingerprint | null;
  /**
   * Passes the rows in order.
   *
   * @throws LoraError('dataset') where the file is no longer the one that was read first.
   */
  readonly forEachRow: (onRow: OnRow, onBytes?: OnBytes) => Promise<void>;
  /** The row at a line and an offset that `forEachRow` gave; null if it is no longer there. */
  readonly rowAt: (line: number, offset: number) => Promise<Row | null>;
}

/** How a dataset is read. */
export interface ReadSettings extends RowSettings {
  readonly skip_faulty_rows?: boolean;
}

/**
 * Reads a dataset: a .jsonl file, or a folder of images for image_cls. Errors in rows are reported
 * in the dataset's problems.
 *
 * @throws LoraError('dataset') where a folder of images cannot be read; what `onRow` and `onBytes`
 *   throw.
 */
export async function openDataset(
  file: string,
  recipe: ReadSettings,
  onRow: (row: Row) => void = () => undefined,
  onBytes: OnBytes = () => undefined,
): Promise<Dataset> {
  if (recipe.task === 'image_cls') return imageDataset(file, onRow);
  let rows = 0;
  const problems = collectorSettings(recipe);
  const scanned = await scanRows(file, { rows: recipe, problems, onBytes }, (row) => {
    rows++;
    onRow(row);
  });
  return {
    path: file,
    ...scanned,
    rows,
    forEachRow: async (visit, onVisit) => {
      if (!scanned.fingerprint) return;
      const settings = { rows: recipe, ...(onVisit && { onBytes: onVisit }) };
      await rescanRows(file, settings, scanned.fingerprint, visit);
    },
    rowAt: (line, offset) => rowAtOffset(file, recipe, line, offset),
  };
}

/** Rows that are left out are listed as far as memory allows. */
const MOST_SKIPPED_LISTED = 100_000;

/** How the errors in rows are collected. */
export const collectorSettings = ({ skip_faulty_rows = false }: ReadSettings): CollectorSettings =>
  skip_faulty_rows ? { skip: true, listed: MOST_SKIPPED_LISTED } : {};

async function imageDataset(folder: string, onRow: (row: Row) => void): Promise<Dataset> {
  const { rows, problems, fingerprint } = await readImageFolder(folder);
  rows.forEach(onRow);
  return {
    path: folder,
    rows: rows.length,
    problems,
    skippedRows: 0,
    fingerprint,
    forEachRow: async (visit) => {
      await Promise.resolve();
      rows.forEach(visit);
    },
    rowAt: (_, index) => Promise.resolve(rows[index] ?? null),
  };
}

/** What a scan found besides its rows. */
export interface ScannedFile {
  readonly problems: readonly Problem[];
  readonly skippedRows: number;
  readonly fingerprint: FileFingerprint | null;
}

/** How a file is scanned. */
export interface ScanSettings {
  readonly rows: RowSettings;
  readonly problems?: CollectorSettings;
  readonly onBytes?: OnBytes;
}

/**
 * Reads a .jsonl file line by line; formats may be mixed. All errors are in `problems`, including
 * those of the file itself. Only what `onRow` keeps stays in memory.
 *
 * @throws what `onRow` and `onBytes` throw
 */
export async function scanRows(
  path: string,
  { rows, problems, onBytes }: ScanSettings,
  onRow: OnRow,
): Promise<ScannedFile> {
  const scan = new Scan(new ProblemCollector(path, problems), rows, onRow);
  try {
    await checkKind(path);
    const fingerprint = await readLines(path, (line) => scan.line(line), onBytes);
    return { ...scan.finish(), fingerprint };
  } catch (error) {
    if (!(error instanceof LoraError) || error.area !== 'dataset') throw error;
    const message = error.fix ? `${error.message} ${error.fix}` : error.message;
    return {
      problems: [{ severity: 'error', message, place: { file: path } }],
      skippedRows: 0,
      fingerprint: null,
    };
  }
}

/** Passes the rows of a file that was scanned before. @throws LoraError('dataset') if it changed */
export async function rescanRows(
  path: string,
  settings: ScanSettings,
  before: FileFingerprint,
  onRow: OnRow,
): Promise<void> {
  const scan = new Scan(new ProblemCollector(path, { listed: 0 }), settings.rows, onRow);
  const now = await readLines(path, (line) => scan.line(line), settings.onBytes);
  if (now.sha256 !== before.sha256) throw changedWhileRead(path);
}

/** The row that a line at an offset holds; null if it has errors. */
export async function rowAtOffset(
  path: string,
  settings: RowSettings,
  line: number,
  offset: number,
): Promise<Row | null> {
  const rows: Row[] = [];
  const problems = new ProblemCollector(path, { listed: 0 });
  const scan = new Scan(problems, settings, (row) => rows.push(row));
  scan.line({ number: line, offset, bytes: await readLineAt(path, offset) });
  return rows[0] ?? null;
}

/** Turns lines into rows. */
class Scan {
  private readonly decoder = new TextDecoder('utf-8', { fatal: true });
  private seen = 0;
  private notLines = false;

  constructor(
    private readonly problems: ProblemCollector,
    private readonly settings: RowSettings,
    private readonly onRow: OnRow,
  ) {}

  line({ number, bytes, offset }: DatasetLine): void {
    if (this.notLines) return;
    const report = new RowReport(this.problems, number);
    const text = this.decode(bytes, report);
    if (text === null || text.trim() === '') return;
    if (this.seen++ === 0 && /^\s*(\[|\{\s*$)/.test(text)) {
      this.notLines = true;
      this.problems.error(
        'The file is a single JSON document, not JSON Lines: each row must be a JSON object on its own line ' +
          "(jq -c '.[]' data.json > data.jsonl writes a list of rows so).",
      );
      return;
    }
    const row = readRow(text, { line: number, report, settings: this.settings });
    if (row) this.onRow(row, offset);
  }

  finish(): Omit<ScannedFile, 'fingerprint'> {
    const { problems } = this;
    if (this.seen === 0 && problems.errorCount === 0)
      problems.error(
        'The dataset is empty: it needs at least one row, such as {"prompt": "…", "completion": "…"}.',
      );
    return { problems: problems.problems(), skippedRows: problems.skippedRows };
  }

  private decode(bytes: Buffer | null, report: RowReport): string | null {
    if (!bytes) return report.error(`The line is longer than ${MAX_LINE_BYTES / 2 ** 20} MiB.`);
    try {
      return this.decoder.decode(bytes);
    } catch {
      return report.error('The line is not valid UTF-8: save the file as UTF-8.');
    }
  }
}
