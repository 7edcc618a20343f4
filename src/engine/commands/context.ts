import type { RuntimeContext } from '../useRuntime';

/**
 * What every command gets from the command line program. `warn` writes to standard error; with
 * --json also an object of the kind "warning" to standard output.
 */
export interface CommandContext extends RuntimeContext {
  readonly version: string;
  /** Print one JSON object per line instead of text. */
  readonly json: boolean;
  /** Aborted by a signal that asks the process to stop. */
  readonly signal: AbortSignal;
  /** Writes a line to standard output. */
  readonly print: (text: string) => void;
  /** Writes a line that is neither a result nor a warning to standard error. */
  readonly note: (text: string) => void;
}

/** Prints the result of a command: its facts with --json, otherwise a text. */
export function printResult(
  { json, print }: CommandContext,
  facts: object,
  describe: () => string,
): void {
  print(json ? JSON.stringify({ kind: 'result', ...facts }) : describe());
}
