import type { Writable } from 'node:stream';
import { indentedLines, oneLine, visibleControls } from '../shared/plainText';

/**
 * Standard output and standard error. What people read contains names, keys and texts of files, so
 * control characters, which a terminal would act on, are written as escapes. This module alone
 * writes to the streams.
 */

/** Moves to the start of the line and clears it. */
const CLEAR_LINE = '\r\x1b[K';

/** Writes lines for people to standard output. */
export const printText = (text: string): void => streamText(`${text}\n`);

/** Writes a part of a text for people to standard output. */
export function streamText(text: string): void {
  process.stdout.write(visibleControls(text));
}

/** Writes a line for programs to standard output, as it is. */
export function printRaw(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Standard output for messages of a protocol, which programs read: written as they are. */
export const messageOutput = (): Writable => process.stdout;

/** Calls back when what was written to standard output has left this process. */
export function whenWritten(done: () => void): void {
  process.stdout.write('', done);
}

/** Writes lines to standard error. */
export function noteText(text: string): void {
  process.stderr.write(`${visibleControls(text)}\n`);
}

/** Writes a warning to standard error. A message of several lines is indented. */
export const warnText = (message: string): void => noteText(indentedLines(message));

/** Whether standard output is a terminal, on which a line can be cleared. */
export const isTerminal = (): boolean => process.stdout.isTTY;

/** Replaces the last line of the terminal, which a progress bar occupies. */
export function replaceLine(text: string): void {
  process.stdout.write(`${CLEAR_LINE}${oneLine(text).slice(0, process.stdout.columns - 1)}`);
}

/** Clears the last line of the terminal. */
export function clearLine(): void {
  process.stdout.write(CLEAR_LINE);
}

/** Whoever reads the output may end first, or close the terminal: that is no error. */
export function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}
