import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { readSweep } from '../../formats/run/sweepFolder';
import { readTune } from '../../formats/run/tuneFile';
import { tunesOf } from '../../shared/sweep/places';

/** A tune that has been interrupted. */
export interface UnfinishedTune {
  readonly folder: string;
  /** ISO 8601 */
  readonly created: string;
  readonly minutes: number;
  readonly spent: number;
}

const MAX_TUNES = 20;

/** The tunes of a recipe that have written no recipe yet, the newest first. */
export async function unfinishedTunes(recipe: string): Promise<readonly UnfinishedTune[]> {
  const root = tunesOf(recipe);
  const entries = await listFolder(root).catch(() => []);
  const newest = entries.reverse().slice(0, MAX_TUNES);
  const found = await Promise.all(
    newest.map(({ name }) => readUnfinished(path.join(root, name), recipe).catch(() => null)),
  );
  return found.flatMap((tune) => tune ?? []);
}

async function readUnfinished(folder: string, recipe: string): Promise<UnfinishedTune | null> {
  const [sweep, tune] = [await readSweep(folder), await readTune(folder)];
  if (sweep.recipe !== path.basename(recipe) || tune.tuned !== null) return null;
  const { minutes, spent } = tune;
  return { folder, created: sweep.created, minutes, spent };
}
