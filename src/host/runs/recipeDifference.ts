import type { Recipe } from '../../shared/recipe';
import { isObject } from '../../shared/values';

/** A key that two recipes set differently. */
export interface Difference {
  /** With dots, as in lora.r. */
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** The keys that differ between two recipes. */
export function recipeDifference(before: Recipe, after: Recipe): Difference[] {
  return differences(before, after, '');
}

function differences(before: unknown, after: unknown, path: string): Difference[] {
  if (isObject(before) && isObject(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
      differences(before[key], after[key], path === '' ? key : `${path}.${key}`),
    );
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ key: path, before, after }];
}
