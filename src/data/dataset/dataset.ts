import { stat } from 'node:fs/promises';
import { LoraError, type Problem } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import type { ProblemType } from '../../shared/task';
import type { RowContext, RowSettings } from '../rows/settings';
import { openTable } from '../../formats/tables/openTable';
import {
  excludedFileOf,
  ExcludedRows,
  readExcluded,
  type ExcludedList,
} from '../../formats/excludedRows';
import { changedWhileRead } from '../../formats/tables/faults';
import type { OnBytes, RawRow, RowPlace, RowUnit, Table } from '../../formats/tables/table';
import { ProblemCollector, type CollectorSettings } from './problems';
import { RowReport } from '../rows/rowReport';
import { captionedByClass, readImageFolder } from '../images/folder';
import type { Task } from '../../shared/task';
import { contentOfRaw, decodeRow, readRawRow } from '../rows/rawRow';
import { readRow } from '../rows/readRow';
import type { Row } from '../rows/row';

/** Called with each row that has no errors, and the offset by which it is found again. */
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
  /** Rows that the list beside the file leaves out, whatever is in them. */
  readonly excludedRows: number;
  /** Null where the file could not be read. */
  readonly fingerprint: FileFingerprint | null;
  /** Of the list of excluded rows; null: there is none. */
  readonly excludedList: FileFingerprint | null;
  /** The unit by which its rows are numbered. */
  readonly unit: RowUnit;
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
  /** The first rows only; null: all. */
  readonly limit?: number | null;
  /** Of the labels of images; null: classes. */
  readonly problem_type?: ProblemType | null;
}

/**
 * Reads a dataset: a file of rows, or a folder of images for image_cls and contrastive. Errors in
 * rows are reported in the dataset's problems.
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
  if (await isImageFolder(file, recipe.task)) return imageDataset(file, recipe, onRow);
  let rows = 0;
  const problems = collectorSettings(recipe);
  const { limit = null } = recipe;
  const scanned = await scanRows(file, { rows: recipe, limit, problems, onBytes }, (row) => {
    rows++;
    onRow(row);
  });
  return {
    path: file,
    ...scanned,
    rows,
    forEachRow: async (visit, onVisit) => {
      if (!scanned.fingerprint) return;
      const settings = { rows: recipe, limit, ...(onVisit && { onBytes: onVisit }) };
      await rescanRows(file, settings, scanned, visit);
    },
    rowAt: (number, offset) => rowAtPlace(file, recipe, { number, offset }),
  };
}

/** Rows that are left out are listed as far as memory allows. */
const MOST_SKIPPED_LISTED = 100_000;

/** How the errors in rows are collected. */
export const collectorSettings = ({ skip_faulty_rows = false }: ReadSettings): CollectorSettings =>
  skip_faulty_rows ? { skip: true, listed: MOST_SKIPPED_LISTED } : {};

async function isImageFolder(file: string, task: Task): Promise<boolean> {
  if (task !== 'contrastive') return task === 'image_cls';
  return (await stat(file).catch(() => null))?.isDirectory() === true;
}

async function imageDataset(
  folder: string,
  { task, problem_type = null }: ReadSettings,
  onRow: (row: Row) => void,
): Promise<Dataset> {
  const { rows: images, problems, fingerprint } = await readImageFolder(folder, problem_type);
  const rows = task === 'contrastive' ? images.map(captionedByClass) : images;
  rows.forEach(onRow);
  return {
    path: folder,
    rows: rows.length,
    problems,
    skippedRows: 0,
    excludedRows: 0,
    fingerprint,
    excludedList: null,
    unit: 'row',
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
  readonly excludedRows: number;
  readonly fingerprint: FileFingerprint | null;
  readonly excludedList: FileFingerprint | null;
  readonly unit: RowUnit;
}

/** How a file is scanned. */
export interface ScanSettings {
  readonly rows: RowSettings;
  /** The first rows only. */
  readonly limit?: number | null;
  readonly problems?: CollectorSettings;
  readonly onBytes?: OnBytes;
}

/**
 * Reads a file row by row; the formats of rows may be mixed. All errors are in `problems`,
 * including those of the file itself. Only what `onRow` keeps stays in memory.
 *
 * @throws what `onRow` and `onBytes` throw
 */
export async function scanRows(
  path: string,
  { rows, limit = null, problems, onBytes }: ScanSettings,
  onRow: OnRow,
): Promise<ScannedFile> {
  try {
    const list = await readExcluded(path);
    return await withTable(path, async (table) => {
      const collector = new ProblemCollector(path, { ...problems, unit: table.unit });
      const scan = new Scan(collector, { rows, limit }, onRow, list);
      const fingerprint = await table.readAll((row) => scan.row(row), onBytes);
      return { ...scan.finish(), fingerprint, excludedList: list?.fingerprint ?? null };
    });
  } catch (error) {
    if (!(error instanceof LoraError) || error.area !== 'dataset') throw error;
    const message = error.fix ? `${error.message} ${error.fix}` : error.message;
    return {
      problems: [
        { severity: 'error', message, place: { ...error.place, file: error.place?.file ?? path } },
      ],
      skippedRows: 0,
      excludedRows: 0,
      fingerprint: null,
      excludedList: null,
      unit: 'line',
    };
  }
}

async function withTable<T>(path: string, use: (table: Table) => Promise<T>): Promise<T> {
  const table = await openTable(path);
  try {
    return await use(table);
  } finally {
    await table.close();
  }
}

/** Passes the rows of a file that was scanned before. @throws LoraError('dataset') if it changed */
export async function rescanRows(
  path: string,
  settings: ScanSettings,
  before: Pick<ScannedFile, 'fingerprint' | 'excludedList'>,
  onRow: OnRow,
): Promise<void> {
  const list = await readExcluded(path);
  if (list?.fingerprint.sha256 !== before.excludedList?.sha256)
    throw changedWhileRead(excludedFileOf(path));
  const scan = new Scan(new ProblemCollector(path, { listed: 0 }), settings, onRow, list);
  const now = await withTable(path, (table) =>
    table.readAll((row) => scan.row(row), settings.onBytes),
  );
  if (now.sha256 !== before.fingerprint?.sha256) throw changedWhileRead(path);
}

/** The row at a place; null if it has errors. */
export async function rowAtPlace(
  path: string,
  settings: RowSettings,
  place: RowPlace,
): Promise<Row | null> {
  const raw = await withTable(path, (table) => table.at(place));
  const rows: Row[] = [];
  const problems = new ProblemCollector(path, { listed: 0 });
  const scan = new Scan(problems, { rows: settings }, (row) => rows.push(row));
  if (raw) scan.row(raw);
  return rows[0] ?? null;
}

const NO_ENTRIES: ReadonlySet<string> = new Set();

/** Turns what a file holds into rows. */
class Scan {
  private seen = 0;
  /** Rows without errors. */
  private read = 0;
  private notLines = false;
  private readonly excluded: ExcludedRows;

  constructor(
    private readonly problems: ProblemCollector,
    private readonly settings: Pick<ScanSettings, 'rows' | 'limit'>,
    private readonly onRow: OnRow,
    list: ExcludedList | null = null,
  ) {
    this.excluded = new ExcludedRows(list?.entries ?? NO_ENTRIES);
  }

  row(raw: RawRow): void {
    const { rows: settings, limit = null } = this.settings;
    const isOver = limit !== null && this.read >= limit;
    if (this.notLines || isOver || this.isExcluded(raw)) return;
    const report = new RowReport(this.problems, raw.number);
    const context = { line: raw.number, report, settings };
    const { unit } = this.problems;
    const row =
      raw.kind === 'json' ? this.parsed(raw.bytes, context) : readRawRow(raw, context, unit);
    if (raw.kind !== 'json') this.seen++;
    if (!row) return;
    this.read++;
    this.onRow(row, raw.offset);
  }

  private isExcluded(raw: RawRow): boolean {
    if (!this.excluded.hasAny) return false;
    const content = contentOfRaw(raw);
    return content !== null && this.excluded.isExcluded(content);
  }

  private parsed(bytes: Buffer | null, context: RowContext): Row | null {
    const text = decodeRow(bytes, context.report, this.problems.unit);
    if (text === null || text.trim() === '') return null;
    if (this.seen++ === 0 && /^\s*(\[|\{\s*$)/.test(text)) {
      this.notLines = true;
      this.problems.error(
        'The file is a single JSON document, not JSON Lines: each row must be a JSON object on its own line, ' +
          'or the file a list of such objects, [{…}, {…}].',
      );
      return null;
    }
    return readRow(text, context);
  }

  finish(): Omit<ScannedFile, 'fingerprint' | 'excludedList'> {
    const { problems, excluded } = this;
    if (this.seen === 0 && excluded.count > 0)
      problems.error('All rows of the dataset are excluded: include some of them again.');
    else if (this.seen === 0 && problems.errorCount === 0)
      problems.error(
        'The dataset is empty: it needs at least one row, such as {"prompt": "…", "completion": "…"}.',
      );
    return {
      problems: problems.problems(),
      skippedRows: problems.skippedRows,
      excludedRows: excluded.count,
      unit: problems.unit,
    };
  }
}
