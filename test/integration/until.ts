import { setTimeout as sleep } from 'node:timers/promises';

/** Polls until `look` returns a value; the limit only ends a test that fails. */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
): Promise<T> {
  for (const end = Date.now() + 500_000; Date.now() < end;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    await sleep(100);
  }
  throw new Error(`waited for ${what}`);
}
