import type { RuntimeContext } from '../useRuntime';

/** What every command gets from the command line program; `warn` writes to standard error. */
export interface CommandContext extends RuntimeContext {
  readonly version: string;
  /** Print one JSON object per line instead of text. */
  readonly json: boolean;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Writes a line to standard output. */
  readonly print: (text: string) => void;
}

/** Prints the result of a command: its facts with --json, otherwise a text. */
export function printResult(
  { json, print }: CommandContext,
  facts: object,
  describe: () => string,
): void {
  print(json ? JSON.stringify({ kind: 'result', ...facts }) : describe());
}
