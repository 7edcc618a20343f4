import { isObject } from '../../../src/shared/values';
import { methodOf, type RunRecord } from '../../../src/shared/run';
import { pathOfKey, shortNames } from '../../../src/shared/sweep/recipeKeys';
import { valueText } from '../../../src/shared/sweep/valueText';

/** The key of a sweep of ranks. */
const RANK = 'lora.r';

/** Whether a sweep varies nothing but the rank: then the question is how low it can go. */
export const isOfRanks = (keys: readonly string[]): boolean =>
  keys.length === 1 && keys[0] === RANK;

/** The values of a run's recipe; undefined for what it does not have or use. */
export function valuesOf(record: RunRecord | null, keys: readonly string[]): readonly unknown[] {
  if (!record) return keys.map(() => undefined);
  const isFull = methodOf(record.recipe) === 'full';
  return keys.map((key) =>
    isFull && key.startsWith('lora.')
      ? undefined
      : pathOfKey(key).reduce<unknown>(
          (value, part) => (isObject(value) ? value[part] : undefined),
          record.recipe,
        ),
  );
}

/** Numbers by size, before all other values, which are in the order of their texts. */
export function compareValues(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return rankOf(a) - rankOf(b) || valueText(a).localeCompare(valueText(b));
}

function rankOf(value: unknown): number {
  if (value === undefined) return 2;
  return typeof value === 'number' ? 0 : 1;
}

/** "r 4, learning_rate 1e-4" */
export const describeValues = (keys: readonly string[], values: readonly unknown[]): string =>
  shortNames(keys)
    .map((name, k) => `${name} ${valueText(values[k])}`)
    .join(', ');

/** Tells values apart that have the same text. */
export const identityOf = (value: unknown): string => JSON.stringify([value]);
