import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason } from '../../common/fileStatus';
import { isEngineAlive, readEngineRecord } from '../../formats/run/engineRecord';
import { LoraError } from '../../shared/errors';
import { parseRecipe } from '../../shared/recipeFile';
import { ENDED_STATES, RUN_FILES, type RunRecord } from '../../shared/run';
import { newestCompleteCheckpoint } from '../training/checkpoint';
import { checkFingerprints, gitCommit } from '../run/fingerprint';
import { clearLeftovers } from '../run/leftovers';
import { productOf } from '../training/products/product';
import { makeRunDir, MetricsFile, newRecord, newRunDir, readRecord } from '../run/runFolder';
import { RunSupervisor, type SupervisorOptions } from '../training/supervisor';
import { showTraining } from './terminal';
import { useRuntime, type Context } from './context';
import { readOptions, usageError } from './options';

export const TRAIN_USAGE = `lora train RECIPE.json [--run-dir DIR] [--json]
lora train --resume RUN_DIR [--json]`;

export async function train(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { 'run-dir': { type: 'string' }, resume: { type: 'string' } },
    TRAIN_USAGE,
  );
  if ((values.resume === undefined) === (positionals.length !== 1))
    throw usageError('Name one recipe, or a run with --resume', TRAIN_USAGE);
  const start =
    values.resume === undefined
      ? await newRun(positionals[0]!, values['run-dir'], context)
      : await resumedRun(path.resolve(values.resume), context);
  const view = showTraining(context, start.run_dir);
  const record = await RunSupervisor.run(
    { ...start, dist: context.dist, runtime: await runtimeFor(start, context), ...view.hooks },
    context.signal,
  );
  view.finish(record);
  return record.state === 'failed' ? 1 : 0;
}

type Start = Pick<SupervisorOptions, 'record' | 'run_dir' | 'resume_from'>;

async function newRun(
  recipePath: string,
  runDir: string | undefined,
  { version }: Context,
): Promise<Start> {
  const file = path.resolve(recipePath);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new LoraError('recipe', `The recipe cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  });
  const recipe = parseRecipe(text, file);
  const run_dir = runDir === undefined ? newRunDir(file) : path.resolve(runDir);
  await makeRunDir(run_dir);
  return {
    record: newRecord(run_dir, {
      recipe,
      recipe_path: file,
      extension: version,
      git_commit: await gitCommit(path.dirname(file)),
    }),
    run_dir,
    resume_from: null,
  };
}

/**
 * Goes on from the newest whole checkpoint; from the start where there is none. Errors:
 * LoraError('run') when the run is complete, still runs, or its files have changed.
 */
async function resumedRun(run_dir: string, { warn }: Context): Promise<Start> {
  const record = await readRecord(run_dir);
  if (record.state === 'completed')
    throw new LoraError('run', 'The run is complete: there is nothing left to do.', {
      place: { file: run_dir },
      fix: 'To train further, start a run whose lora.init_adapter is its adapter.',
    });
  if (isEngineAlive(await readEngineRecord(run_dir), Date.now()))
    throw new LoraError('run', 'The run is still being trained by another process.', {
      place: { file: run_dir },
    });
  await clearLeftovers(run_dir);
  await checkFingerprints([
    ...(record.data?.fingerprint ?? []),
    ...(record.base?.fingerprint ?? []),
  ]);
  const step = await newestCompleteCheckpoint(
    run_dir,
    productOf(record.recipe.training.method),
    (step, error) =>
      warn(
        `${RUN_FILES.checkpoints}/step-${step} is not whole and is left out: ${LoraError.from(error, 'run').message}`,
      ),
  );
  if (step === null) await startAnew(run_dir, warn);
  return {
    record: { ...asRunning(record), result: { ...record.result, adapter: null, model: null } },
    run_dir,
    resume_from: step,
  };
}

/** The steps of which nothing is left no longer count. */
async function startAnew(run_dir: string, warn: (text: string) => void): Promise<void> {
  warn('No checkpoint is whole: the run starts anew.');
  const metrics = await MetricsFile.open(run_dir);
  await metrics.append({ kind: 'resume', step: 0 }).finally(() => metrics.close());
}

const asRunning = (record: RunRecord): RunRecord => ({
  ...record,
  state: ENDED_STATES.has(record.state) ? 'preparing' : record.state,
  ended: null,
  error: null,
});

/** A run that cannot begin for want of a runtime says so in run.json too. */
async function runtimeFor(start: Start, context: Context) {
  try {
    return await useRuntime(context);
  } catch (error) {
    await RunSupervisor.recordFailure(start, LoraError.from(error, 'runtime'));
    throw error;
  }
}
