import type { RunSummary } from './run';

/** The last run before this one with the same base or recipe that fits. `runs`: newest first. */
export const runBefore = (
  runs: readonly RunSummary[],
  run: RunSummary,
  fits: (other: RunSummary) => boolean = () => true,
): RunSummary | undefined =>
  runs.find((other) => other.created < run.created && isAlike(run, other) && fits(other));

const isAlike = (run: RunSummary, other: RunSummary): boolean =>
  (other.recipePath !== null && other.recipePath === run.recipePath) ||
  (other.base !== null && other.base === run.base);
