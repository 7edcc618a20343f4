import { LoraError, type Place, type Problem } from '../../shared/errors';

interface Group {
  readonly problem: Problem;
  readonly firstLines: number[];
  rows: number;
  lastLine: number;
}

const LINES_SHOWN = 4;
/** Rows that all have different unknown keys must not fill the memory. */
const MOST_KINDS_OF_WARNINGS = 200;

/**
 * Collects the problems of one file. Errors are listed one by one; warnings with the same message
 * become one, with the number of rows.
 */
export class ProblemCollector {
  private readonly errors: Problem[] = [];
  private readonly groups = new Map<string, Group>();

  constructor(private readonly file: string) {}

  get errorCount(): number {
    return this.errors.length;
  }

  /** Adds an error. `line` and `column` count from 1. */
  error(message: string, line?: number, key?: string, column?: number): void {
    this.errors.push({ severity: 'error', message, place: this.place(line, key, column) });
  }

  /** Adds a warning, or a row to the same warning. */
  warn(message: string, line: number): void {
    if (this.groups.size < MOST_KINDS_OF_WARNINGS || this.groups.has(message))
      this.group('warning', message, line);
  }

  /** An error that is listed once for all rows that have it. */
  sharedError(message: string, line: number): void {
    this.group('error', message, line);
  }

  /** The errors in order, then the shared errors and warnings. */
  problems(): Problem[] {
    return [...this.errors, ...Array.from(this.groups.values(), withRowCount)];
  }

  private group(severity: Problem['severity'], message: string, line: number): void {
    const known = this.groups.get(message);
    if (!known) {
      this.groups.set(message, {
        problem: { severity, message, place: this.place(line) },
        firstLines: [line],
        rows: 1,
        lastLine: line,
      });
    } else if (known.lastLine !== line) {
      known.rows++;
      known.lastLine = line;
      if (known.firstLines.length < LINES_SHOWN) known.firstLines.push(line);
    }
  }

  private place(line?: number, key?: string, column?: number): Place {
    return {
      file: this.file,
      ...(line !== undefined && { line }),
      ...(column !== undefined && { column }),
      ...(key !== undefined && { key }),
    };
  }
}

function withRowCount({ problem, firstLines, rows }: Group): Problem {
  if (rows === 1) return problem;
  const more = `${rows} rows; also line ${firstLines.slice(1).join(', ')}${rows > firstLines.length ? ', …' : ''}`;
  return { ...problem, message: `${problem.message} (${more})` };
}

/** @throws LoraError('dataset') with all errors, if there are any among the problems. */
export function throwErrors(problems: readonly Problem[]): void {
  const errors = problems.filter((problem) => problem.severity === 'error');
  const [first] = errors;
  if (!first) return;
  const file = first.place?.file;
  if (errors.length === 1)
    throw new LoraError('dataset', first.message, first.place && { place: first.place });
  const rows = new Set(
    errors.map((error) => `${error.place?.file ?? ''}:${error.place?.line ?? 0}`),
  ).size;
  throw new LoraError(
    'dataset',
    `The dataset has ${errors.length} errors in ${rows} ${rows === 1 ? 'row' : 'rows'}.`,
    {
      ...(file !== undefined && { place: { file } }),
      problems: errors,
      fix: 'Correct or remove these rows.',
    },
  );
}
