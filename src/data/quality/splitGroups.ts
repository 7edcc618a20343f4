import { createRandom, shuffle } from '../../shared/random';
import type { Groups } from './groups';

/**
 * Draws whole groups of rows for validation, about a share of the rows: at least one group and
 * never all. A group that would make it more than the share is passed over as long as others fit.
 *
 * @param rows The rows that are divided, in order.
 * @returns Of each of `rows`: 1 for validation, 0 for training.
 */
export function drawGroups(
  rows: Int32Array,
  groups: Groups,
  { share, seed }: { readonly share: number; readonly seed: number },
): Uint8Array {
  const sizes = new Map<number, number>();
  for (const row of rows) {
    const first = groups.firstOf(row);
    sizes.set(first, (sizes.get(first) ?? 0) + 1);
  }
  const wanted = Math.max(1, Math.round(rows.length * share));
  const order = shuffle([...sizes.keys()], createRandom(seed, 'validation file'));
  const drawn = new Set<number>();
  let count = 0;
  for (const first of order) {
    if (count >= wanted || drawn.size === sizes.size - 1) break;
    const size = sizes.get(first)!;
    if (count + size > wanted) continue;
    drawn.add(first);
    count += size;
  }
  if (drawn.size === 0 && sizes.size > 1) drawn.add(smallest(order, sizes));
  return Uint8Array.from(rows, (row) => Number(drawn.has(groups.firstOf(row))));
}

function smallest(order: readonly number[], sizes: ReadonlyMap<number, number>): number {
  return order.reduce((least, each) => (sizes.get(each)! < sizes.get(least)! ? each : least));
}
