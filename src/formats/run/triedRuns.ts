import path from 'node:path';
import { listFolder, MAX_BYTES } from '../../common/regularFile';
import { dataOf, metricOrLoss, type TriedRun } from '../../shared/advice/recipeAdvice';
import type { Recipe } from '../../shared/recipe';
import { RUN_FILES, RUNS_FOLDER } from '../../shared/run';
import { isObject } from '../../shared/values';
import { readJsonObject } from '../json';

/** Older runs say less, and a workspace may have thousands. */
const MAX_RUNS = 200;

/** The newest runs beside a recipe that are complete and have a score. */
export async function triedBeside(recipe: string): Promise<readonly TriedRun[]> {
  const root = path.join(path.dirname(recipe), RUNS_FOLDER);
  const entries = await listFolder(root).catch(() => []);
  return triedRuns(entries.map(({ name }) => path.join(root, name)));
}

/** The same of the folders of runs; names of newer runs sort later. */
export async function triedRuns(dirs: readonly string[]): Promise<readonly TriedRun[]> {
  const newest = [...dirs]
    .sort((a, b) => (path.basename(a) < path.basename(b) ? 1 : -1))
    .slice(0, MAX_RUNS);
  const read = await Promise.all(newest.map(readTried));
  return read.flatMap((run) => run ?? []);
}

async function readTried(dir: string): Promise<TriedRun | null> {
  const record = await readJsonObject(path.join(dir, RUN_FILES.record), 'run', {
    maxBytes: MAX_BYTES.runRecord,
    links: 'refused',
  }).catch(() => null);
  const { recipe, result, state, ended } = record ?? {};
  if (state !== 'completed' || !isObject(recipe) || !isObject(result)) return null;
  const { training, lora } = recipe;
  if (!isObject(training) || !isObject(lora)) return null;
  const metric = metricOrLoss(training['metric_for_best_model']);
  const best = result['best_metric'];
  const score = isObject(best) ? best['value'] : result['best_validation_loss'];
  const [rate, r] = [training['learning_rate'], lora['r']];
  if (typeof rate !== 'number' || typeof r !== 'number' || typeof score !== 'number') return null;
  return {
    ...{ metric, rate, r, score },
    base: String(recipe['base']),
    data: dataOf(recipe as unknown as Recipe),
    method: training['method'] === 'full' ? 'full' : 'lora',
    ended: typeof ended === 'string' ? Date.parse(ended) || 0 : 0,
  };
}
