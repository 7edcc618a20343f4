import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFolder } from '../../common/atomicWrite';
import { readJsonObject } from '../../formats/json';
import { readPeftAdapter } from '../../formats/peft/read';
import { withSafetensors } from '../../formats/safetensors/read';
import { readLate, writeSafetensors } from '../../formats/safetensors/write';
import type { Model, OptimizerState } from '../../models/model';
import { RUN_FILES } from '../../shared/run';
import { writeJson } from '../../common/atomicWrite';
import { checkSavedWeights } from './products/modelProduct';
import type { ProductKind } from './products/product';

/**
 * state.json of a checkpoint. Everything random depends on the seed and the step alone, so that
 * this is all there is to keep.
 */
const StateSchema = v.object({
  version: v.literal(1),
  step: v.pipe(v.number(), v.integer(), v.minValue(0)),
  elapsed: v.number(),
  best: v.nullable(v.object({ step: v.number(), loss: v.number() })),
  /** What is still due after the step. */
  pending: v.optional(v.array(v.picklist(['evaluate', 'sample'])), []),
});

export type TrainingState = v.InferOutput<typeof StateSchema>;

export interface Checkpoint {
  readonly state: TrainingState;
  readonly optimizer: OptimizerState;
  /** Writes what has been trained so far into a folder. */
  readonly fill: (folder: string) => Promise<void>;
}

const STATE_FILE = 'state.json';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const nameOf = (step: number) => `step-${step}`;

export const checkpointFolder = (runDir: string, step: number): string =>
  path.join(runDir, RUN_FILES.checkpoints, nameOf(step));

/** Writes checkpoints/step-N, whole or not at all. Gives its path relative to the run's folder. */
export async function writeCheckpoint(
  runDir: string,
  { state, optimizer, fill }: Checkpoint,
): Promise<string> {
  await replaceFolder(checkpointFolder(runDir, state.step), async (temp) => {
    await fill(temp);
    await writeSafetensors(
      path.join(temp, OPTIMIZER_FILE),
      optimizer.tensors.map(({ name, shape, read }) => ({
        name,
        dtype: 'F32',
        shape,
        data: () => readLate(read),
      })),
      { step: String(optimizer.step) },
    );
    await writeJson(path.join(temp, STATE_FILE), state);
  });
  return path.posix.join(RUN_FILES.checkpoints, nameOf(state.step));
}

/**
 * Removes all but the newest `keep` checkpoints up to this step. Damaged ones of later steps, which
 * a resumed run has passed over, take nobody's place.
 */
export async function pruneCheckpoints(runDir: string, keep: number, step: number): Promise<void> {
  const steps = (await checkpointSteps(runDir)).filter((saved) => saved <= step);
  await Promise.all(
    steps
      .slice(keep)
      .map((step) => rm(checkpointFolder(runDir, step), { recursive: true, force: true })),
  );
}

/** Steps of the folders called step-N, newest first. */
export async function checkpointSteps(runDir: string): Promise<number[]> {
  const names = await readdir(path.join(runDir, RUN_FILES.checkpoints)).catch(() => []);
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/** Errors: LoraError where it is missing or damaged. */
export const readState = async (folder: string): Promise<TrainingState> =>
  v.parse(StateSchema, await readJsonObject(path.join(folder, STATE_FILE), 'run'));

/** Gives a model AdamW's state. */
export function restoreOptimizer(
  folder: string,
  model: Pick<Model, 'restoreOptimizer'>,
): Promise<void> {
  return withSafetensors(
    path.join(folder, OPTIMIZER_FILE),
    (source) =>
      model.restoreOptimizer(Number(source.header.metadata['step']), (name) =>
        source.readF32(name),
      ),
    'run',
  );
}

/**
 * The step of the newest checkpoint that is whole; null where none is. `skipped` hears of each that
 * is not.
 */
export async function newestWholeCheckpoint(
  runDir: string,
  kind: ProductKind,
  skipped: (step: number, error: unknown) => void,
): Promise<number | null> {
  for (const step of await checkpointSteps(runDir)) {
    try {
      await check(checkpointFolder(runDir, step), kind);
      return step;
    } catch (error) {
      skipped(step, error);
    }
  }
  return null;
}

async function check(folder: string, kind: ProductKind): Promise<void> {
  await readState(folder);
  await (kind === 'model' ? checkSavedWeights(folder) : readPeftAdapter(folder));
  await withSafetensors(path.join(folder, OPTIMIZER_FILE), () => Promise.resolve(), 'run');
}
