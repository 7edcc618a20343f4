import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { hashFile } from '../../common/hashFile';
import type { FileFingerprint } from '../../shared/run';
import type { BundleFile, BundleItem, TrainerJob } from '../../targets/target';
import { PLAN_FILES } from './plan';
import type { PreparedPlan } from './preparePlan';

/** What a job of Ray Train needs on a target. */
export interface PlanBundle {
  readonly items: readonly BundleItem[];
  /** The id of the item that holds train.py. */
  readonly engine: string;
  readonly trainer: TrainerJob;
  /** The bases that the target has already, by the path there. */
  readonly there: readonly string[];
}

interface BundleOptions {
  /** The folder of the plan. */
  readonly folder: string;
  /** The folder of the bundles. */
  readonly dist: string;
  /** Bases that the target has: name or SHA-256 of the weights here, path there. */
  readonly bases: Readonly<Record<string, string>>;
}

/** In the folder `ray` of the bundles. */
const TRAINER_FILES = ['train.py', 'worker.py', 'prepared.py', 'run_folder.py'];
const ID_LENGTH = 40;

/** Collects what a prepared training needs: train.py, the plan, and the base. */
export async function planBundle(
  { plan, sha256 }: PreparedPlan,
  { folder, dist, bases }: BundleOptions,
): Promise<PlanBundle> {
  const engine = itemOf('engine', await hashed(path.join(dist, 'ray'), TRAINER_FILES));
  const prepared = itemOf('plan', [
    ...(await hashed(folder, [PLAN_FILES.plan])),
    ...placed(folder, plan.files),
  ]);
  const base = itemOf('base', placed(plan.run.recipe.base, plan.base));
  const names = [plan.run.recipe.base, path.basename(plan.run.recipe.base)];
  const keys = [...names, ...plan.base.map((file) => file.sha256)];
  const known = keys.find((key) => Object.hasOwn(bases, key));
  return {
    items: [engine, prepared, ...(known === undefined ? [base] : [])],
    engine: engine.id,
    trainer: {
      plan: prepared.id,
      sha256,
      base: known === undefined ? `../../items/${base.id}` : bases[known]!,
    },
    there: known === undefined ? [] : [bases[known]!],
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
