import path from 'node:path';
import type { PreparedData } from '../data/dataset/prepare';
import type { Problem } from '../shared/errors';
import type { SourceRecord } from '../shared/run';
import { indentedLines, oneLine } from '../shared/plainText';
import { listProblems } from '../shared/problemKinds';
import { countOf } from '../shared/values';

/** Lines for people; a line feed in one of them, such as in a name, starts no line of its own. */
export const joinLines = (lines: readonly string[]): string =>
  lines.map((line) => indentedLines(line)).join('\n');

/** A problem in one line, with its tensor and the name of its file but not its folder. */
export function describeProblem({ place, message }: Problem): string {
  if (!place) {
    return oneLine(message);
  }
  const line = place.line === undefined ? '' : `:${place.line}`;
  const row = place.row === undefined ? '' : `, row ${place.row}`;
  const { tensor } = place;
  const isNamed = tensor === undefined || message.includes(tensor);
  const named = isNamed ? '' : `, tensor ${tensor}`;
  return oneLine(`${path.basename(place.file)}${line}${row}${named}: ${message}`);
}

/** Calls `warn` once for each problem. */
export function warnOfProblems(
  problems: readonly Problem[],
  warn: (message: string) => void,
): void {
  for (const problem of problems) {
    warn(describeProblem(problem));
  }
}

/** How many rows are excluded, by their lists. */
export const describeExcluded = (excluded: PreparedData['excluded']): string[] =>
  excluded
    .filter(({ rows }) => rows > 0)
    .map(
      ({ file, rows }) =>
        `${countOf(rows, 'row')} ${rows === 1 ? 'is' : 'are'} excluded by ${file}.`,
    );

/** What rows are left out (skip_faulty_rows): nothing, or the number and the first errors. */
export function describeSkipped({
  rows,
  problems,
}: {
  readonly rows: number;
  readonly problems: readonly Problem[];
}): string[] {
  if (rows === 0) return [];
  const lines = problems.map((problem) => ({ ...problem, text: describeProblem(problem) }));
  return [
    `${countOf(rows, 'row')} with errors ${rows === 1 ? 'is' : 'are'} left out (skip_faulty_rows):`,
    ...listProblems(lines),
  ];
}

/** The sources of a training set, where there are several or they have weights. */
export function describeSources(sources: readonly SourceRecord[]): string[] {
  if (sources.length < 2 && sources.every(({ weight }) => weight === 1)) return [];
  return sources.map(
    ({ name, weight, examples, tokens, labelled_tokens, drawn, share }) =>
      `${(100 * share).toFixed(1).padStart(5)} % ${name}: ${countOf(examples, 'example')}, ${countOf(tokens, 'token')}, ${labelled_tokens} with a loss; weight ${weight}, ${drawn} drawn in each epoch`,
  );
}
