import { LoraError, type Place, type Problem } from '../../shared/errors';
import { countProblems, kindOfMessage } from '../../shared/problemKinds';
import { countOf } from '../../shared/values';
import type { RowUnit } from '../../formats/tables/table';

interface Group {
  readonly problem: Problem;
  readonly firstLines: number[];
  rows: number;
  lastLine: number;
}

/** How errors are collected. */
export interface CollectorSettings {
  /** Rows with errors are left out (skip_faulty_rows): their errors become warnings. */
  readonly skip?: boolean;
  /** The most errors that are listed one by one; more of a kind become one problem. */
  readonly listed?: number;
  /** Called with the line of each row that has errors. */
  readonly onFaultyRow?: (line: number) => void;
  /** The unit by which rows of the file are numbered; lines by default. */
  readonly unit?: RowUnit;
}

const LINES_SHOWN = 4;
/** A file that is no dataset has an error in each of its millions of lines. */
const MOST_LISTED = 1_000;
const MOST_KINDS_OF_ERRORS = 100;
const SKIPPED = ' The row is skipped (skip_faulty_rows).';
/** Rows that all have different unknown keys must not fill the memory. */
const MOST_KINDS_OF_WARNINGS = 200;

/**
 * Collects the problems of one file. The first errors are listed one by one, further ones by kind;
 * warnings with the same message become one, with the number of rows.
 */
export class ProblemCollector {
  private readonly errors: Problem[] = [];
  private readonly unlisted = new Map<string, Group>();
  private readonly groups = new Map<string, Group>();
  private count = 0;
  private reports = 0;
  private faulty = 0;
  private lastFaultyLine: number | undefined;
  private ownUnit: RowUnit;

  constructor(
    private readonly file: string,
    private readonly settings: CollectorSettings = {},
  ) {
    this.ownUnit = settings.unit ?? 'line';
  }

  /** Errors in rows and in the file, whether they are listed or not. */
  get errorCount(): number {
    return this.count;
  }

  /** The unit by which rows of the file are numbered. */
  get unit(): RowUnit {
    return this.ownUnit;
  }

  /** Numbers the rows by something else from now on. */
  useUnit(unit: RowUnit): void {
    this.ownUnit = unit;
  }

  /** How often anything was reported, warnings too. */
  get reported(): number {
    return this.reports;
  }

  /** Rows that have errors and are left out. */
  get skippedRows(): number {
    return this.settings.skip === true ? this.faulty : 0;
  }

  /** Adds an error. `line` and `column` count from 1; lines come in order. */
  error(message: string, line?: number, key?: string, column?: number): void {
    const { skip = false, listed = MOST_LISTED } = this.settings;
    this.count++;
    this.reports++;
    if (line !== undefined && line !== this.lastFaultyLine) {
      this.faulty++;
      this.settings.onFaultyRow?.(line);
      this.lastFaultyLine = line;
    }
    const isSkipped = skip && line !== undefined;
    const problem: Problem = {
      severity: isSkipped ? 'warning' : 'error',
      message: isSkipped ? message + SKIPPED : message,
      place: this.place(line, key, column),
      ...(isSkipped && { skipped: true }),
    };
    if (this.errors.length < listed || line === undefined) this.errors.push(problem);
    else this.addUnlisted(problem, line);
  }

  /** Adds a warning, or a row to the same warning. */
  warn(message: string, line: number): void {
    this.reports++;
    if (this.groups.size < MOST_KINDS_OF_WARNINGS || this.groups.has(message))
      this.group('warning', message, line);
  }

  /** An error that is listed once for all rows that have it. */
  sharedError(message: string, line: number): void {
    this.reports++;
    this.group('error', message, line);
  }

  /** The listed errors in order, the others by kind, then the shared errors and warnings. */
  problems(): Problem[] {
    return [
      ...this.errors,
      ...Array.from(this.unlisted.values(), (group) => ({
        ...this.withRowCount(group),
        rows: group.rows,
      })),
      ...Array.from(this.groups.values(), (group) => this.withRowCount(group)),
    ];
  }

  private group(severity: Problem['severity'], message: string, line: number): void {
    const known = this.groups.get(message);
    if (known) addLine(known, line);
    else this.groups.set(message, newGroup({ severity, message, place: this.place(line) }, line));
  }

  private addUnlisted(problem: Problem, line: number): void {
    const isFull = this.unlisted.size >= MOST_KINDS_OF_ERRORS;
    const kind = kindOfMessage(problem.message);
    const known = this.unlisted.get(kind) ?? (isFull ? this.unlisted.get(OTHER_KINDS) : undefined);
    if (known) addLine(known, line);
    else if (isFull)
      this.unlisted.set(OTHER_KINDS, newGroup({ ...problem, message: OTHER_KINDS }, line));
    else this.unlisted.set(kind, newGroup(problem, line));
  }

  private withRowCount({ problem, firstLines, rows }: Group): Problem {
    if (rows === 1) return problem;
    const others = firstLines.slice(1).join(', ');
    const more = `${rows} rows; also ${this.unit} ${others}${rows > firstLines.length ? ', …' : ''}`;
    return { ...problem, message: `${problem.message} (${more})` };
  }

  private place(line?: number, key?: string, column?: number): Place {
    return {
      file: this.file,
      ...(line !== undefined && { [this.unit]: line }),
      ...(column !== undefined && { column }),
      ...(key !== undefined && { key }),
    };
  }
}

const OTHER_KINDS = 'Other errors.';

const newGroup = (problem: Problem, line: number): Group => ({
  problem,
  firstLines: [line],
  rows: 1,
  lastLine: line,
});

function addLine(group: Group, line: number): void {
  if (group.lastLine === line) return;
  group.rows++;
  group.lastLine = line;
  if (group.firstLines.length < LINES_SHOWN) group.firstLines.push(line);
}

/** @throws LoraError('dataset') with all errors, if there are any among the problems. */
export function throwErrors(problems: readonly Problem[]): void {
  const errors = problems.filter((problem) => problem.severity === 'error');
  const [first] = errors;
  if (!first) return;
  const file = first.place?.file;
  if (errors.length === 1 && first.rows === undefined)
    throw new LoraError('dataset', first.message, first.place && { place: first.place });
  const rows = rowsWith(errors);
  throw new LoraError(
    'dataset',
    `The dataset has ${countOf(countProblems(errors), 'error')} in ${countOf(rows, 'row')}.`,
    {
      ...(file !== undefined && { place: { file } }),
      problems: errors,
      fix: 'Correct or remove these rows.',
    },
  );
}

/** A problem that stands for several rows begins at a line that no other one has. */
const rowsWith = (errors: readonly Problem[]): number =>
  new Set(
    errors.map(
      (error) => `${error.place?.file ?? ''}:${error.place?.line ?? error.place?.row ?? 0}`,
    ),
  ).size + errors.reduce((sum, { rows = 1 }) => sum + rows - 1, 0);
