import { setTimeout as sleep } from 'node:timers/promises';

/** Limit of the tests of one file, which only ends what hangs. */
export const LIMIT = 1_800_000;

/**
 * Polls until `look` returns a truthy value, and returns it.
 * @throws {Error} naming `what` after `seconds`, which only limit how long a failure takes.
 */
export async function until(look, what, seconds = 300) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const seen = await look();
    if (seen) return seen;
    await sleep(150);
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}
