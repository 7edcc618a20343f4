import { formatTime } from '../text/l10n';
import type { RunSummary } from './run';
import { methodAndLoss } from './treeRow';

/**
 * A named thing, with the facts that distinguish it from others of that name, the most distinctive
 * first.
 */
export interface Named {
  readonly name: string;
  readonly details: readonly string[];
}

/**
 * The names of items. Those with equal names are followed, in brackets, by the first detail that
 * differs among all of them, else by the last one.
 */
export const distinctNames = (items: readonly Named[]): readonly string[] =>
  items.map(({ name, details }) => {
    const equal = items.filter((other) => other.name === name);
    if (equal.length === 1) return name;
    const differs = (i: number) =>
      new Set(equal.map((item) => item.details[i])).size === equal.length;
    return `${name} (${details.find((_, i) => differs(i)) ?? details.at(-1)})`;
  });

/**
 * The facts that distinguish a run from others of its name: rank and loss, when it began, its
 * folder.
 */
export const runDetails = (run: RunSummary): readonly string[] => [
  methodAndLoss(run) ?? '',
  formatTime(run.created),
  run.id,
];
