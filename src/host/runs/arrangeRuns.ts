import path from 'node:path';
import { t } from '../text/l10n';
import type { RunSummary } from './run';
import { stateName } from './treeRow';

/** By what the Runs view can group runs. */
export const GROUPINGS = ['none', 'state', 'base', 'dataset', 'recipe'] as const;
/** One of `GROUPINGS`. */
export type Grouping = (typeof GROUPINGS)[number];

/** A group of runs in the Runs view. */
export interface RunGroup {
  /** Identifies the group while runs are added and removed. */
  readonly key: string;
  readonly label: string;
  readonly runs: readonly RunSummary[];
}

/** Groups runs, in the order of the newest run of each group; runs without a value come last. */
export function groupRuns(runs: readonly RunSummary[], by: Exclude<Grouping, 'none'>): RunGroup[] {
  const groups = new Map<string, RunSummary[]>();
  for (const run of runs) {
    const key = keyOf(run, by) ?? '';
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const found = [...groups].map(([key, members]) => ({
    key,
    label: labelOf(key, by),
    runs: members,
  }));
  return [...found.filter(({ key }) => key !== ''), ...found.filter(({ key }) => key === '')];
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
  }
}

function labelOf(key: string, by: Exclude<Grouping, 'none'>): string {
  if (key === '') return t('Other');
  return by === 'state' ? stateName(key as RunSummary['state']) : path.basename(key);
}

/**
 * Whether each word of a filter occurs in the run's name, state, tags, note, base, dataset, recipe
 * or rank (r8).
 */
export function fits(run: RunSummary, filter: string): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const places = [run.base, run.dataset, run.recipePath].map((place) =>
    place === null ? '' : path.basename(place),
  );
  const text = [
    run.name,
    run.id,
    run.state,
    stateName(run.state),
    methodWord(run),
    run.notes.note,
    ...run.notes.tags.map((tag) => `#${tag}`),
    ...places,
  ]
    .join('\n')
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

function methodWord({ method, r }: RunSummary): string {
  if (method === 'full') return 'full';
  return r === null ? '' : `r${r}`;
}
