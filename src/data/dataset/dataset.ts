import { LoraError, type Problem } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import { ROW_SETTINGS, type RowSettings } from '../rows/settings';
import { MAX_LINE_BYTES, readLines, type DatasetLine } from './lines';
import { ProblemCollector, throwErrors } from './problems';
import { RowReport } from '../rows/rowReport';
import { readRow } from '../rows/readRow';
import type { Row } from '../rows/row';

export interface Dataset {
  readonly path: string;
  /** The rows in order, without those that have errors or are skipped. Formats may be mixed. */
  readonly rows: readonly Row[];
  /** Errors in the order of the file, then warnings. */
  readonly problems: readonly Problem[];
  /** Null where the file could not be read. */
  readonly fingerprint: FileFingerprint | null;
}

/**
 * Reads a .jsonl file.
 *
 * @throws LoraError('dataset') with every error in every row.
 */
export async function readDataset(path: string, settings?: RowSettings): Promise<Dataset> {
  const dataset = await scanDataset(path, settings);
  throwErrors(dataset.problems);
  return dataset;
}

/** Like `readDataset`, but with all errors in `problems`, including those of the file itself. */
export async function scanDataset(
  path: string,
  settings: RowSettings = ROW_SETTINGS,
): Promise<Dataset> {
  const scan = new Scan(path, settings);
  try {
    const fingerprint = await readLines(path, (line) => scan.line(line));
    return { path, rows: scan.rows, problems: scan.finish(), fingerprint };
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    const message = error.fix ? `${error.message} ${error.fix}` : error.message;
    return {
      path,
      rows: [],
      problems: [{ severity: 'error', message, place: { file: path } }],
      fingerprint: null,
    };
  }
}

class Scan {
  readonly rows: Row[] = [];
  private readonly problems: ProblemCollector;
  private readonly decoder = new TextDecoder('utf-8', { fatal: true });
  private seen = 0;
  private notLines = false;

  constructor(
    path: string,
    private readonly settings: RowSettings,
  ) {
    this.problems = new ProblemCollector(path);
  }

  line({ number, bytes }: DatasetLine): void {
    if (this.notLines) return;
    const report = new RowReport(this.problems, number);
    const text = this.decode(bytes, report);
    if (text === null || text.trim() === '') return;
    if (this.seen++ === 0 && /^\s*(\[|\{\s*$)/.test(text)) {
      this.notLines = true;
      report.error(
        'The file is a single JSON document, not JSON Lines: each row must be a JSON object on its own line.',
      );
      return;
    }
    const row = readRow(text, { line: number, report, settings: this.settings });
    if (row) this.rows.push(row);
  }

  finish(): Problem[] {
    if (this.seen === 0 && this.problems.errorCount === 0)
      this.problems.error(
        'The dataset is empty: it needs at least one row, such as {"prompt": "…", "completion": "…"}.',
      );
    return this.problems.problems();
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
