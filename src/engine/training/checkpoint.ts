import { readdir } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFolder, writeJson } from '../../common/atomicWrite';
import { refuseLinks, removeWithin } from '../../common/withoutLinks';
import { readJsonObject } from '../../formats/json';
import { readPeftAdapter } from '../../formats/peft/read';
import { withSafetensors } from '../../formats/safetensors/read';
import { writeSafetensors } from '../../formats/safetensors/write';
import { readLate } from '../../formats/tensorWriter';
import type { Model, OptimizerState } from '../../models/model';
import { RUN_FILES } from '../../shared/run';
import { checkSavedWeights } from './products/modelProduct';
import type { ProductKind } from './products/product';

/**
 * state.json of a checkpoint. Random numbers depend on the seed and the step alone, so no random
 * state has to be saved.
 */
const StateSchema = v.object({
  version: v.literal(1),
  step: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Seconds of training. */
  elapsed: v.number(),
  /** `value`: of metric_for_best_model; missing in checkpoints of older versions: the loss. */
  best: v.nullable(v.object({ step: v.number(), loss: v.number(), value: v.optional(v.number()) })),
  /** Evaluations in a row without an improvement. Missing in checkpoints of older versions. */
  without_improvement: v.optional(v.number(), 0),
  /** What is still to be done after this step. */
  pending: v.optional(v.array(v.picklist(['evaluate', 'sample'])), []),
  /** What the record and the model card say. Missing in checkpoints of older versions. */
  last_loss: v.optional(v.nullable(v.number()), null),
  last_evaluation: v.optional(v.nullable(v.object({ step: v.number(), loss: v.number() })), null),
});

/** The state of a training run after a step, as state.json stores it. */
export type TrainingState = v.InferOutput<typeof StateSchema>;

/** What `writeCheckpoint` saves. */
export interface Checkpoint {
  readonly state: TrainingState;
  readonly optimizer: OptimizerState;
  /** Writes the trained weights into an existing folder. */
  readonly fill: (folder: string) => Promise<void>;
}

const STATE_FILE = 'state.json';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const folderName = (step: number) => `step-${step}`;

/** Path of the checkpoint after a step. */
export const checkpointFolder = (runDir: string, step: number): string =>
  path.join(runDir, RUN_FILES.checkpoints, folderName(step));

/**
 * Writes checkpoints/step-N, completely or not at all. Returns its path relative to the run's
 * folder.
 *
 * @throws LoraError('disk')
 */
export async function writeCheckpoint(
  runDir: string,
  { state, optimizer, fill }: Checkpoint,
): Promise<string> {
  const folder = checkpointFolder(runDir, state.step);
  await refuseLinks(path.dirname(folder), runDir);
  await replaceFolder(folder, async (temp) => {
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
  return path.posix.join(RUN_FILES.checkpoints, folderName(state.step));
}

/**
 * Removes all but the newest `keep` checkpoints up to a step. Checkpoints of later steps are not
 * counted: they are damaged ones that a resumed run has skipped.
 */
export async function pruneCheckpoints(runDir: string, keep: number, step: number): Promise<void> {
  const steps = (await checkpointSteps(runDir)).filter((saved) => saved <= step);
  await Promise.all(
    steps.slice(keep).map((step) => removeWithin(checkpointFolder(runDir, step), runDir)),
  );
}

/** Steps of the folders named step-N, newest first. */
export async function checkpointSteps(runDir: string): Promise<number[]> {
  const names = await readdir(path.join(runDir, RUN_FILES.checkpoints)).catch(() => []);
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/** Reads state.json. @throws an error when it is missing or damaged */
export const readState = async (folder: string): Promise<TrainingState> =>
  v.parse(StateSchema, await readJsonObject(path.join(folder, STATE_FILE), 'run'));

/** Loads AdamW's state into a model. @throws LoraError('run') when it is missing or damaged */
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
 * The step of the newest complete checkpoint; null if there is none. Calls `skipped` for each newer
 * one that is incomplete or damaged.
 */
export async function newestCompleteCheckpoint(
  runDir: string,
  kind: ProductKind,
  skipped: (step: number, error: unknown) => void,
): Promise<number | null> {
  for (const step of await checkpointSteps(runDir)) {
    try {
      await checkCheckpoint(checkpointFolder(runDir, step), kind);
      return step;
    } catch (error) {
      skipped(step, error);
    }
  }
  return null;
}

async function checkCheckpoint(folder: string, kind: ProductKind): Promise<void> {
  await readState(folder);
  await (kind === 'model' ? checkSavedWeights(folder) : readPeftAdapter(folder));
  await withSafetensors(path.join(folder, OPTIMIZER_FILE), () => Promise.resolve(), 'run');
}
