import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hashFile } from '../../common/hashFile';
import type { FileFingerprint, RunRecord } from '../../shared/run';
import type { Bundle } from '../../targets/bundle/bundle';
import { baseThere, namesOfBase, type KnownBases } from '../../targets/bundle/knownBases';
import type { BundleFile, BundleItem, TrainerJob } from '../../targets/target';
import { PLAN_FILES } from './plan';
import { readRecipeText } from '../training/readRecipe';
import { preparePlan, type PreparedPlan } from './preparePlan';

/** What a job of Ray Train needs on a target. Its `engine` holds train.py. */
export interface PlanBundle extends Bundle {
  readonly trainer: TrainerJob;
}

/** A run that Ray Train is to train. */
export interface PlannedRun extends Omit<BundleOptions, 'folder'> {
  readonly record: RunRecord;
  readonly workers: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/**
 * Prepares a training run in a temporary folder, which lasts until `use` has ended.
 *
 * @throws LoraError; what `use` throws
 */
export async function withPlanBundle<T>(
  { record, workers, dist, bases, signal, say }: PlannedRun,
  use: (bundle: PlanBundle) => Promise<T>,
): Promise<T> {
  const temp = await mkdtemp(path.join(tmpdir(), 'lora-plan-'));
  try {
    const folder = path.join(temp, 'plan');
    const { recipe_path } = record;
    const prepared = await preparePlan({
      record,
      recipe_text:
        recipe_path === null ? null : await readRecipeText(recipe_path).catch(() => null),
      workers,
      output: folder,
      signal,
      info: say,
      warn: say,
      onProgress: () => undefined,
    });
    return await use(await planBundle(prepared, { folder, dist, bases, signal }));
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

interface BundleOptions extends KnownBases {
  /** The folder of the plan. */
  readonly folder: string;
  /** The folder of the bundles. */
  readonly dist: string;
  readonly signal: AbortSignal;
}

/** In the folder `ray` of the bundles. */
const TRAINER_FILES = ['train.py', 'worker.py', 'prepared.py', 'run_folder.py', 'control.py'];
const ID_LENGTH = 40;

/** Collects what a prepared training needs: train.py, the plan, and the base. */
export async function planBundle(
  { plan, sha256 }: PreparedPlan,
  { folder, dist, signal, ...known }: BundleOptions,
): Promise<PlanBundle> {
  const engine = itemOf('engine', await hashed(path.join(dist, 'ray'), TRAINER_FILES));
  const prepared = itemOf('plan', [
    ...(await hashed(folder, [PLAN_FILES.plan])),
    ...placed(folder, plan.files),
  ]);
  const base = itemOf('base', placed(plan.run.recipe.base, plan.base));
  const names = [...namesOfBase(plan.run.recipe.base), ...plan.base.map(({ sha256 }) => sha256)];
  const there = await baseThere(names, known, signal);
  return {
    items: [engine, prepared, ...(there === null ? [base] : [])],
    engine: engine.id,
    recipe: `${JSON.stringify(plan.run.recipe, null, 2)}\n`,
    trainer: {
      plan: prepared.id,
      sha256,
      base: there ?? `../../items/${base.id}`,
    },
    there: there === null ? [] : [there],
  };
}

async function hashed(folder: string, names: readonly string[]): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  for (const name of names) {
    const source = path.join(folder, name);
    const { size } = await stat(source);
    files.push({ path: name, source, size, sha256: await hashFile(source) });
  }
  return files;
}

/** Files whose hashes are known. */
const placed = (folder: string, files: readonly FileFingerprint[]): BundleFile[] =>
  files.map(({ file, size, sha256 }) => ({
    path: file,
    source: path.join(folder, file),
    size,
    sha256,
  }));

function itemOf(label: string, files: readonly BundleFile[]): BundleItem {
  const names = files.map(({ path: name, size, sha256 }) => JSON.stringify([name, size, sha256]));
  const id = createHash('sha256').update(names.sort().join('\n')).digest('hex').slice(0, ID_LENGTH);
  return { id, label, files };
}
