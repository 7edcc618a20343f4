import path from 'node:path';
import { writeSweep } from '../../formats/run/sweepFolder';
import type { Recipe } from '../../shared/recipe';
import { newRunId } from '../../shared/run';
import { newSweepFolder, runsOfSweep } from '../../shared/sweep/places';
import { variantsOf } from '../../shared/sweep/variants';
import type { VariedKey } from '../../shared/sweep/vary';
import type { NewRun, QueuedOn } from './runQueue';

const MAX_RANKS = 16;
const MAX_RANK = 1024;

/** Parses "4, 2, 1" as [1, 2, 4], sorted and without duplicates; undefined for anything else. */
export function parseRanks(text: string): readonly number[] | undefined {
  const words = text.split(/[\s,;]+/).filter(Boolean);
  const ranks = [...new Set(words.map(Number))].sort((a, b) => a - b);
  return ranks.length > 0 &&
    ranks.length <= MAX_RANKS &&
    ranks.every((r) => Number.isInteger(r) && r >= 1 && r <= MAX_RANK)
    ? ranks
    : undefined;
}

/** Values around the one that the recipe has. */
export function suggestedValues(key: string, value: unknown): string {
  if (key === 'lora.r') return '1, 2, 4, 8, 16';
  if (typeof value === 'boolean') return 'true, false';
  if (typeof value !== 'number') return JSON.stringify(value);
  if (key === 'training.seed') return [value, value + 1, value + 2].join(', ');
  return [value / 2, value, 2 * value].map((each) => Number(each.toPrecision(6))).join(', ');
}

/** A sweep whose recipes are written, and its runs to queue. */
export interface QueuedSweep {
  readonly folder: string;
  readonly runs: readonly NewRun[];
}

/**
 * Writes the recipes of a sweep of `file`. Their runs go to the folder of its own runs.
 *
 * @throws LoraError('usage') when a variant is not valid, LoraError('disk')
 */
export async function newSweep(
  file: string,
  recipe: Recipe,
  varied: readonly VariedKey[],
  on?: QueuedOn,
): Promise<QueuedSweep> {
  const variants = variantsOf(file, recipe, varied);
  const folder = newSweepFolder(file, newRunId());
  const { target = null, parallel = 1 } = on ?? {};
  await writeSweep(folder, { recipe: file, varied, variants, target, parallel });
  const runs = variants.map((variant) => ({
    recipe: path.join(folder, variant.file),
    root: runsOfSweep(folder),
    name: variant.name,
    ...(on && { on }),
  }));
  return { folder, runs };
}
