import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFolder } from '../formats/files';
import { readJsonObject } from '../formats/json';
import { readPeftAdapter } from '../formats/peft/read';
import { fillAdapterFolder, type AdapterFacts } from '../formats/peft/write';
import { withSafetensors } from '../formats/safetensors/read';
import { writeSafetensors } from '../formats/safetensors/write';
import type { Adapter } from '../lora/types';
import type { OptimizerState } from '../models/types';
import { RUN_FILES } from '../shared/run';
import { writeJson } from './files';

/** state.json of a checkpoint. Everything random depends on the seed and the step alone, so that this is all there is to keep. */
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
  readonly adapter: Adapter;
  readonly optimizer: OptimizerState;
}

const STATE_FILE = 'state.json';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const nameOf = (step: number) => `step-${step}`;

/** Writes checkpoints/step-N, whole or not at all. Gives its path relative to the run's folder. */
export async function writeCheckpoint(runDir: string, { state, adapter, optimizer }: Checkpoint, facts: AdapterFacts): Promise<string> {
  const relative = path.posix.join(RUN_FILES.checkpoints, nameOf(state.step));
  await replaceFolder(path.join(runDir, relative), async (temp) => {
    await fillAdapterFolder(temp, adapter, facts);
    const { exp_avg, exp_avg_sq } = optimizer;
    await writeSafetensors(path.join(temp, OPTIMIZER_FILE), Object.entries({ exp_avg, exp_avg_sq }).map(([name, data]) => ({ name, dtype: 'F32', shape: [data.length], data })), {
      step: String(optimizer.step),
    });
    await writeJson(path.join(temp, STATE_FILE), state);
  });
  return relative;
}

/** Removes all but the newest `keep` checkpoints up to this step. Damaged ones of later steps, which a resumed run has passed over, take nobody's place. */
export async function pruneCheckpoints(runDir: string, keep: number, step: number): Promise<void> {
  const steps = (await checkpointSteps(runDir)).filter((saved) => saved <= step);
  await Promise.all(steps.slice(keep).map((step) => rm(path.join(runDir, RUN_FILES.checkpoints, nameOf(step)), { recursive: true, force: true })));
}

/** Steps of the folders called step-N, newest first. */
export async function checkpointSteps(runDir: string): Promise<number[]> {
  const names = await readdir(path.join(runDir, RUN_FILES.checkpoints)).catch(() => []);
  return names.flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => b - a);
}

/** Errors: LoraError where any part is missing or damaged. */
export async function readCheckpoint(runDir: string, step: number): Promise<Checkpoint> {
  const folder = path.join(runDir, RUN_FILES.checkpoints, nameOf(step));
  const state = v.parse(StateSchema, await readJsonObject(path.join(folder, STATE_FILE), 'run'));
  const { adapter } = await readPeftAdapter(folder);
  const optimizer = await withSafetensors(path.join(folder, OPTIMIZER_FILE), async (source) => ({
    step: Number(source.header.metadata['step']), exp_avg: await source.readF32('exp_avg'), exp_avg_sq: await source.readF32('exp_avg_sq'),
  }));
  return { state, adapter, optimizer };
}

/** The newest checkpoint that is whole; `skipped` hears of each that is not. */
export async function lastCheckpoint(runDir: string, skipped: (step: number, error: unknown) => void): Promise<Checkpoint | null> {
  for (const step of await checkpointSteps(runDir)) {
    try {
      return await readCheckpoint(runDir, step);
    } catch (error) {
      skipped(step, error);
    }
  }
  return null;
}
