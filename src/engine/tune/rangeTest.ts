import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import {
  isTooHigh,
  rangeTestOf,
  type RangePoint,
  type RangeTest,
} from '../../shared/tune/rangeTest';
import { setTensorflowEnvironment } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';
import { TrainingWorker } from '../training/trainingWorker';

/** What a range test needs, and who hears of it. */
export interface RangeTestOptions {
  readonly recipe: Recipe;
  readonly rates: readonly number[];
  readonly runtime: Runtime;
  /** Folder of the bundles. */
  readonly dist: string;
  readonly signal: AbortSignal;
  /** Is told how many steps were taken. */
  readonly onStep: (steps: number) => void;
  readonly warn: (message: string) => void;
}

/**
 * Takes a step at each of the rising rates, on weights that are thrown away, and ends early when
 * the loss is far above its lowest.
 *
 * @throws LoraError as a training run does, LoraError('cancelled')
 */
export async function runRangeTest(options: RangeTestOptions): Promise<RangeTest> {
  const { recipe, rates, runtime, dist, signal } = options;
  const scratch = await mkdtemp(path.join(tmpdir(), 'lora-range-'));
  const points: RangePoint[] = [];
  const worker = new TrainingWorker();
  const job = {
    recipe,
    run_dir: scratch,
    created: new Date().toISOString(),
    ...{ runtime, dist, rates, resume_from: null, step_plan: null },
  };
  const stop = () => worker.send({ kind: 'stop' });
  signal.addEventListener('abort', stop, { once: true });
  const failures: LoraError[] = [];
  try {
    setTensorflowEnvironment();
    const ended = worker.run(path.join(dist, 'worker.js'), job, {
      onEvent: (event) => {
        if (event.kind === 'failed') failures.push(LoraError.deserialize(event.error));
        if (event.kind === 'log' && event.level === 'warn') options.warn(event.message);
        if (event.kind !== 'metric' || event.line.kind !== 'step') return;
        points.push({ rate: event.line.learning_rate, loss: event.line.loss });
        options.onStep(points.length);
        if (isTooHigh(points.map(({ loss }) => loss))) stop();
      },
      onCrash: (error) => {
        failures.push(error);
        return Promise.resolve();
      },
    });
    if (signal.aborted) stop();
    await ended;
  } finally {
    signal.removeEventListener('abort', stop);
    await rm(scratch, { recursive: true, force: true });
  }
  if (signal.aborted) throw new LoraError('cancelled', 'The range test was stopped.');
  if (failures[0]) throw failures[0];
  return rangeTestOf(points, points.length < rates.length);
}
