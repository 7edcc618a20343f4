import { indentedLines, oneLine } from './plainText';
import { listProblems } from './problemKinds';

/** The part of the program that an error is about. */
export type ErrorArea =
  | 'recipe'
  | 'base'
  | 'adapter'
  | 'dataset'
  | 'tokenizer'
  | 'runtime'
  | 'engine'
  | 'target'
  | 'run'
  | 'disk'
  | 'memory'
  | 'usage'
  | 'cancelled';

/** The location of a problem in a file. Lines, columns and rows are counted from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** Of a file without lines. */
  readonly row?: number;
  readonly tensor?: string;
  readonly key?: string;
}

/** One problem: a full sentence for the user, and its location. */
export interface Problem {
  readonly message: string;
  readonly place?: Place;
  readonly severity: 'error' | 'warning';
  /** Set if it represents the same problem in this many rows. */
  readonly rows?: number;
  /** Set if the row is left out because of it (skip_faulty_rows). */
  readonly skipped?: true;
}

interface LoraErrorOptions {
  readonly place?: Place;
  /** What the user can do: an imperative sentence. */
  readonly fix?: string;
  /** All problems, if there are several (in a dataset's rows or a recipe's keys). */
  readonly problems?: readonly Problem[];
  /** The original error, for developers. */
  readonly cause?: unknown;
}

/** An error as plain data, to be sent through a pipe or between threads. */
export interface SerializedError {
  readonly area: ErrorArea;
  readonly message: string;
  readonly place?: Place;
  readonly fix?: string;
  readonly problems?: readonly Problem[];
  readonly detail?: string;
}

/** An error for the user: what is wrong, where, and what to do. */
export class LoraError extends Error {
  override readonly name = 'LoraError';
  readonly place: Place | undefined;
  readonly fix: string | undefined;
  readonly problems: readonly Problem[];

  constructor(
    readonly area: ErrorArea,
    message: string,
    options: LoraErrorOptions = {},
  ) {
    super(message, { cause: options.cause });
    this.place = options.place;
    this.fix = options.fix;
    this.problems = options.problems ?? [];
  }

  /** The full text for a terminal: place, message, the first problems, fix. */
  describe(): string {
    const message = indentedLines(this.message);
    const head = this.place ? `${formatPlace(this.place)}: ${message}` : message;
    const lines = this.problems.map((problem) => ({
      ...problem,
      text: indentedLines(
        `${problem.place ? `${formatPlace(problem.place)}: ` : ''}${problem.message}`,
        '    ',
      ),
    }));
    return [head, ...listProblems(lines), ...(this.fix ? [this.fix] : [])].join('\n');
  }

  /** The problems to show in files: those of this error, or the error itself if it has a place. */
  locatedProblems(): readonly Problem[] {
    if (this.problems.length > 0 || this.place === undefined) return this.problems;
    return [{ severity: 'error', message: this.message, place: this.place }];
  }

  /** Returns this error as plain data; the cause becomes text. */
  serialize(): SerializedError {
    return {
      area: this.area,
      message: this.message,
      ...(this.place && { place: this.place }),
      ...(this.fix && { fix: this.fix }),
      ...(this.problems.length > 0 && { problems: this.problems }),
      ...(this.cause !== undefined && {
        detail:
          this.cause instanceof Error
            ? (this.cause.stack ?? this.cause.message)
            : JSON.stringify(this.cause),
      }),
    };
  }

  /** Restores an error from the result of `serialize`. */
  static deserialize(data: SerializedError): LoraError {
    return new LoraError(data.area, data.message, {
      ...(data.place && { place: data.place }),
      ...(data.fix && { fix: data.fix }),
      ...(data.problems && { problems: data.problems }),
      ...(data.detail && { cause: new Error(data.detail) }),
    });
  }

  /** Wraps anything that was thrown; a LoraError is returned unchanged. */
  static from(error: unknown, area: ErrorArea): LoraError {
    if (error instanceof LoraError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new LoraError(area, withoutStatus(message), { cause: error });
  }
}

/** An error of libtensorflow in plain words: "Invalid TF_Status: 3" is meaningless to a user. */
function withoutStatus(message: string): string {
  const reason = /Invalid TF_Status: \d+\s*Message: ([^\n]*)/.exec(message)?.[1];
  return reason === undefined ? message : `libtensorflow cannot compute this: ${reason}`;
}

/** `file:line:column`, or `file, row 3`, `file, tensor X`, `file, key X`. */
export function formatPlace(place: Place): string {
  const at =
    place.line === undefined
      ? ''
      : `:${place.line}${place.column === undefined ? '' : `:${place.column}`}`;
  const inside = [
    place.row !== undefined && `row ${place.row}`,
    place.tensor && `tensor ${place.tensor}`,
    place.key && `key ${place.key}`,
  ]
    .filter(Boolean)
    .join(', ');
  return oneLine(`${place.file}${at}${inside ? `, ${inside}` : ''}`);
}

/**
 * The fix for users without a terminal: without command line options, which are in brackets.
 */
export const withoutOptions = (fix: string): string =>
  fix.replaceAll(/ \((?:lora [a-z]+ )?--[a-z-]+(?: [a-z]+)?\)/g, '');
