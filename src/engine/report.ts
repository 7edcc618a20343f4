import path from 'node:path';
import type { Problem } from '../shared/errors';

/** A problem in one line, with the name of its file but not its folder. */
export function describeProblem({ place, message }: Problem): string {
  if (!place) {
    return message;
  }
  const line = place.line === undefined ? '' : `:${place.line}`;
  return `${path.basename(place.file)}${line}: ${message}`;
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
