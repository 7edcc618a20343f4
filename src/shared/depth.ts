/** Far deeper than any file's values; functions that call themselves end without error there. */
export const MOST_DEPTH = 100;

/** Whether a parsed JSON value has lists and objects within each other more than `most` deep. */
export function isDeeperThan(value: unknown, most = MOST_DEPTH): boolean {
  let level = [value].filter(isNested);
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === most) return true;
    const next: object[] = [];
    for (const own of level)
      for (const inner of Object.values(own) as unknown[]) if (isNested(inner)) next.push(inner);
    level = next;
  }
  return false;
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;
