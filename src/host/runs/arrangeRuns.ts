import path from 'node:path';
import type { BestMetric } from '../../shared/bestMetric';
import { isTune, sweepName, sweepOf, varyRankAlone } from '../../shared/sweep/places';
import { placesOf, rankedBy } from '../../shared/sweep/ranking';
import { formatLoss } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import type { RunSummary } from './run';
import { scoreText, stateName } from './treeRow';

/** By what the Runs view can group runs. */
export const GROUPINGS = ['none', 'state', 'base', 'dataset', 'recipe', 'rank'] as const;
/** One of `GROUPINGS`. */
export type Grouping = (typeof GROUPINGS)[number];

/** A group of runs in the Runs view. `sweep`: the folder of a sweep, when it is one. */
export interface RunGroup {
  /** Identifies the group while runs are added and removed. */
  readonly key: string;
  readonly label: string;
  readonly sweep: string | null;
  readonly runs: readonly RunSummary[];
}

/**
 * The rows of the Runs view from the top: groups, or runs when they are not grouped. Then the runs
 * of a sweep are folded into one row, at the place of the newest.
 */
export const arrangeRuns = (
  runs: readonly RunSummary[],
  by: Grouping,
): readonly (RunSummary | RunGroup)[] => (by === 'none' ? foldSweeps(runs) : groupRuns(runs, by));

function foldSweeps(runs: readonly RunSummary[]): (RunSummary | RunGroup)[] {
  const sweeps = collect(runs, ({ recipePath }) => sweepOf(recipePath));
  return runs.flatMap((run): (RunSummary | RunGroup)[] => {
    const folder = sweepOf(run.recipePath);
    if (folder === null) return [run];
    const members = sweeps.get(folder)!;
    if (members[0] !== run) return [];
    const label = sweepLabel(folder, members);
    return [{ key: `sweep ${folder}`, label, sweep: folder, runs: members }];
  });
}

function sweepLabel(folder: string, runs: readonly RunSummary[]): string {
  if (isTune(folder)) return t('Tune of {0}', sweepName(folder));
  return isOfRanks(runs)
    ? t('Ranks of {0}', sweepName(folder))
    : t('Sweep of {0}', sweepName(folder));
}

const isOfRanks = (runs: readonly RunSummary[]): boolean =>
  varyRankAlone(runs.map(({ recipePath }) => recipePath));

/** Groups runs, in the order of the newest run of each group; runs without a value come last. */
function groupRuns(runs: readonly RunSummary[], by: Exclude<Grouping, 'none'>): RunGroup[] {
  const found = collect(runs, (run) => keyOf(run, by) ?? '');
  const unknown = found.get('');
  found.delete('');
  const sorted = [...found, ...(unknown ? [['', unknown] as const] : [])];
  return sorted.map(([key, members]) => ({
    key: `group ${key}`,
    label: labelOf(key, by),
    sweep: null,
    runs: members,
  }));
}

/** The runs of each key, in their order. */
function collect<K>(
  runs: readonly RunSummary[],
  keyOfRun: (run: RunSummary) => K,
): Map<K, RunSummary[]> {
  const groups = new Map<K, RunSummary[]>();
  for (const run of runs) {
    const key = keyOfRun(run);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return groups;
}

function keyOf(run: RunSummary, by: Exclude<Grouping, 'none'>): string | null {
  switch (by) {
    case 'state':
      return run.state;
    case 'base':
      return run.base;
    case 'dataset':
      return run.dataset;
    case 'recipe':
      return run.recipePath;
    case 'rank':
      return run.r === null ? null : String(run.r);
  }
}

function labelOf(key: string, by: Exclude<Grouping, 'none'>): string {
  if (key === '') return t('Other');
  switch (by) {
    case 'state':
      return stateName(key as RunSummary['state']);
    case 'rank':
      return `r${key}`;
    default:
      return path.basename(key);
  }
}

/** What follows the label of a group: how many runs, and of a sweep what is known so far. */
export function describeGroup({ runs, sweep }: RunGroup): string {
  if (sweep === null) return formatNumber(runs.length);
  const done = runs.filter(({ state }) => state === 'completed');
  const judged = done.map((run) => ({
    finished: true,
    best: run.bestScore,
    validation: run.validationLoss,
    training: null,
  }));
  const best = done[placesOf(judged).indexOf(1)];
  const parts = [
    done.length === runs.length
      ? t('{0} {0|run|runs}', runs.length)
      : t('{0} of {1} completed', done.length, runs.length),
    best ? describeBest(best, rankedBy(judged), isOfRanks(runs)) : null,
  ];
  return parts.filter((part) => part !== null).join(' · ');
}

function describeBest(best: RunSummary, metric: BestMetric, isByRank: boolean): string {
  const value = metric === 'loss' ? formatLoss(best.validationLoss!) : scoreText(best.bestScore!);
  return isByRank
    ? t('best r{0} · {1}', best.r ?? '–', value)
    : t('best {0} · {1}', best.name, value);
}
