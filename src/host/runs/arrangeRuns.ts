import path from 'node:path';
import { t } from '../text/l10n';
import type { RunSummary } from './run';
import { stateName } from './treeRow';

export const GROUPINGS = ['none', 'state', 'base', 'dataset', 'recipe'] as const;
export type Grouping = (typeof GROUPINGS)[number];

export interface RunGroup {
  /** Stays while runs come and go. */
  readonly key: string;
  readonly label: string;
  readonly runs: readonly RunSummary[];
}

/** Runs that have the same, in the order of their newest; what has none comes last. */
export function groupRuns(runs: readonly RunSummary[], by: Exclude<Grouping, 'none'>): RunGroup[] {
  const groups = new Map<string, RunSummary[]>();
  for (const run of runs) {
    const key = keyOf(run, by) ?? '';
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const found = [...groups].map(([key, own]) => ({ key, label: labelOf(key, by), runs: own }));
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
 * Whether every word of a filter stands in the run's name, state, tags, note, base, dataset, recipe
 * or "r8".
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
    run.method === 'full' ? 'full' : run.r === null ? '' : `r${run.r}`,
    run.notes.note,
    ...run.notes.tags.map((tag) => `#${tag}`),
    ...places,
  ]
    .join('\n')
    .toLowerCase();
  return words.every((word) => text.includes(word));
}
