import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { effectiveState } from '../../formats/run/effectiveState';
import { readEngineRecord } from '../../formats/run/engineRecord';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import { ENDED_STATES, type RunRecord, type RunState } from '../../shared/run';
import { runsOfSweep } from '../../shared/sweep/places';
import type { SweepRun } from '../../shared/sweep/record';
import { readRecord } from '../run/runFolder';

/** A run in its folder. */
export interface FoundRun {
  readonly dir: string;
  readonly record: RunRecord;
  readonly state: RunState;
  /** It was started on a target, and nobody follows it: it may continue there. */
  readonly isLeft: boolean;
}

/** A run as its folder shows it now; null when the folder has no record of one. */
export async function readFoundRun(dir: string): Promise<FoundRun | null> {
  const record = await readRecord(dir).catch(() => null);
  if (!record) return null;
  const engine = await readEngineRecord(dir);
  const state = effectiveState(record, engine, Date.now());
  const isLeft = state === 'interrupted' && (await isOnTarget(dir));
  return { dir, record, state, isLeft };
}

/** Whether a job on a target trains the run, as far as is known. */
async function isOnTarget(dir: string): Promise<boolean> {
  const remote = await readRemoteRecord(dir);
  return remote !== null && remote.handle !== null && remote.stage?.kind !== 'lost';
}

/** Whether an engine trains the run. */
export const isActive = ({ state }: FoundRun): boolean => !ENDED_STATES.has(state);

/**
 * The runs of a sweep by the names of their recipes: of several runs of a recipe the newest, unless
 * an older one is complete. Recipes are recognized by their folder's name, which moves with them.
 */
export async function findRuns(
  folder: string,
  runs: readonly SweepRun[],
): Promise<ReadonlyMap<string, FoundRun>> {
  const root = runsOfSweep(folder);
  const recipes = new Map<string, string>(
    runs.map(({ recipe }) => [`${path.basename(folder)}/${recipe}`, recipe]),
  );
  const found = new Map<string, FoundRun>();
  for (const { name } of await listFolder(root).catch(() => [])) {
    const run = await readFoundRun(path.join(root, name));
    const recipe = recipes.get(lastTwoParts(run?.record.recipe_path ?? ''));
    if (!run || recipe === undefined || found.get(recipe)?.state === 'completed') continue;
    found.set(recipe, run);
  }
  return found;
}

const lastTwoParts = (file: string): string => file.split(/[\\/]/).slice(-2).join('/');
