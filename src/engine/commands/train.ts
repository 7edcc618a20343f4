import path from 'node:path';
import { thisMachine } from '../../common/processIdentity';
import { isEngineAlive, readEngineRecord } from '../../formats/run/engineRecord';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import type { Runtime } from '../../runtime/runtime';
import { areRunsPrivate, createPrivateFiles, keepPrivate } from '../../common/privateFiles';
import { LoraError } from '../../shared/errors';
import { parseRecipe } from '../../shared/recipeFile';
import {
  ENDED_STATES,
  newRunId,
  RUN_FILES,
  type RunRecord,
  type RunResult,
} from '../../shared/run';
import {
  checkpointFolder,
  checkpointSteps,
  newestCompleteCheckpoint,
  readState,
} from '../training/checkpoint';
import { checkFingerprints } from '../run/fingerprint';
import { gitCommit } from '../run/gitCommit';
import { clearLeftovers } from '../run/leftovers';
import { productOf } from '../training/products/product';
import {
  makeRunDir,
  MetricsFile,
  newRecord,
  newRunDir,
  readRecord,
  refuseUsedRunDir,
  withRunFolder,
  type NewRun,
} from '../run/runFolder';
import { readRecipeText } from '../training/readRecipe';
import { RunSupervisor, type SupervisorOptions } from '../training/supervisor';
import { EXIT_STOPPED } from '../stopSignal';
import { useRuntime } from '../useRuntime';
import { defineCommand, form } from './command';
import type { CommandContext } from './context';
import { optional, required } from './options';
import { absolutePath, anyText } from './optionValues';
import { resumeOnTarget, trainOnTarget } from './remoteTraining';
import { trainingView } from './trainingView';

type TrainingStart = Pick<SupervisorOptions, 'record' | 'run_dir' | 'resume_from'>;

/** lora train: exit code 1 if the run fails, 130 if it is stopped. */
export const trainCommand = defineCommand({
  name: 'train',
  summary: 'Trains a recipe, or repeats or resumes a run.',
  forms: [
    form({
      positionals: {
        recipe: { valueName: 'RECIPE.json', help: 'recipe to train' },
      },
      options: {
        'run-dir': optional(absolutePath, 'DIR', 'folder of the run (default: .lora/runs/…)'),
        on: optional(anyText, 'NAME', 'train on a target of targets.json instead of here'),
      },
      run: async ({ positionals, options }, context) =>
        trainRecipe(positionals.recipe, options, context),
    }),
    form({
      selectedBy: 'repeat',
      options: {
        repeat: required(absolutePath, 'RUN_DIR', 'run to repeat with its recorded recipe'),
        'run-dir': optional(absolutePath, 'DIR', 'folder of the new run (default: beside the old)'),
      },
      run: async ({ options }, context) => {
        const { recipe, recipe_path } = await readRecord(options.repeat);
        const folder = options['run-dir'] ?? path.join(path.dirname(options.repeat), newRunId());
        return trainNew({ recipe, recipe_path }, folder, context);
      },
    }),
    form({
      selectedBy: 'resume',
      options: {
        resume: required(absolutePath, 'RUN_DIR', 'run to resume from its last checkpoint'),
      },
      run: async ({ options: { resume } }, context) => {
        await readRecord(resume);
        if (await readRemoteRecord(resume)) return resumeOnTarget(resume, context);
        return withRunFolder(resume, async () => {
          if (areRunsPrivate(process.env)) await keepPrivate(resume);
          return train(await resumedRun(resume, context), context);
        });
      },
    }),
  ],
});

async function train(start: TrainingStart, context: CommandContext): Promise<number> {
  const view = trainingView(context, start.run_dir);
  const runtime = await runtimeFor(start, context);
  // not before: other users may share the runtime
  if (areRunsPrivate(process.env)) createPrivateFiles();
  const record = await RunSupervisor.run(
    { ...start, dist: context.dist, runtime, ...view.hooks },
    context.signal,
  );
  view.finish(record);
  if (record.state === 'completed') {
    return 0;
  }
  return record.state === 'stopped' ? EXIT_STOPPED : 1;
}

async function trainRecipe(
  recipePath: string,
  { 'run-dir': run_dir, on }: { readonly 'run-dir': string | null; readonly on: string | null },
  context: CommandContext,
): Promise<number> {
  const file = path.resolve(recipePath);
  const recipe = parseRecipe(await readRecipeText(file), file);
  if (on !== null) return trainOnTarget({ recipe, recipe_path: file, run_dir, on }, context);
  return trainNew({ recipe, recipe_path: file }, run_dir ?? newRunDir(file), context);
}

/** A recipe, and its file where that is known. */
type TrainedRecipe = Pick<NewRun, 'recipe' | 'recipe_path'>;

async function trainNew(
  { recipe, recipe_path }: TrainedRecipe,
  run_dir: string,
  context: CommandContext,
): Promise<number> {
  await makeRunDir(run_dir);
  return withRunFolder(run_dir, async () => {
    await refuseUsedRunDir(run_dir);
    const record = newRecord(run_dir, {
      recipe,
      recipe_path,
      extension: context.version,
      git_commit: await gitCommit(path.dirname(recipe_path ?? run_dir)),
    });
    return train({ record, run_dir, resume_from: null }, context);
  });
}

/**
 * Resumes from the newest complete checkpoint, or from the start if there is none.
 * @throws LoraError('run') when the run is complete, is still being trained, or its inputs changed.
 */
async function resumedRun(
  run_dir: string,
  { warn, signal }: CommandContext,
): Promise<TrainingStart> {
  const record = await readRecord(run_dir);
  await checkResumable(record, run_dir);
  await clearLeftovers(run_dir);
  await checkFingerprints(
    [...(record.data?.fingerprint ?? []), ...(record.base?.fingerprint ?? [])],
    signal,
  );
  const product = productOf(record.recipe.training.method);
  const step = await newestCompleteCheckpoint(run_dir, product, (number, error) =>
    warn(
      `${RUN_FILES.checkpoints}/step-${number} is incomplete and is skipped: ${LoraError.from(error, 'run').message}`,
    ),
  );
  if (step === null) {
    await restart(run_dir, warn);
  }
  return {
    record: {
      ...record,
      state: ENDED_STATES.has(record.state) ? 'preparing' : record.state,
      ended: null,
      error: null,
      result: await resultAt(run_dir, step, record.result),
    },
    run_dir,
    resume_from: step,
  };
}

async function checkResumable({ state }: RunRecord, run_dir: string): Promise<void> {
  if (state === 'completed') {
    throw new LoraError('run', 'The run is complete: there is nothing left to do.', {
      place: { file: run_dir },
      fix: 'To train further, start a run whose lora.init_adapter is its adapter.',
    });
  }
  // an engine of this machine would own the folder
  const engine = await readEngineRecord(run_dir);
  if (engine?.machine !== thisMachine() && isEngineAlive(engine, Date.now())) {
    throw new LoraError('run', 'The run is still being trained by another process.', {
      place: { file: run_dir },
    });
  }
}

/** What a run had achieved at the checkpoint that it is resumed from. */
async function resultAt(
  run_dir: string,
  step: number | null,
  {
    first_validation_loss = null,
    best_validation_loss,
    best_step,
    best_metric,
    forgetting,
  }: RunResult,
): Promise<RunResult> {
  const measured = forgetting && { forgetting: { ...forgetting, loss: null, answers: null } };
  const nothing = { adapter: null, model: null, first_validation_loss, ...measured };
  if (step === null) {
    return {
      ...nothing,
      steps: 0,
      last_loss: null,
      last_validation_loss: null,
      last_validation_step: null,
      best_validation_loss: null,
      best_step: null,
    };
  }
  const { last_loss, last_evaluation } = await readState(checkpointFolder(run_dir, step));
  return {
    ...nothing,
    steps: step,
    last_loss,
    last_validation_loss: last_evaluation?.loss ?? null,
    last_validation_step: last_evaluation?.step ?? null,
    // those of the adapter in best/, which stays until a better one replaces it
    best_validation_loss,
    best_step,
    ...(best_metric && { best_metric }),
  };
}

/** Records that the steps without a checkpoint no longer count. */
async function restart(run_dir: string, warn: (text: string) => void): Promise<void> {
  const exists = (await checkpointSteps(run_dir)).length > 0;
  warn(
    exists
      ? 'No checkpoint is complete: the run starts again from step 0.'
      : 'The run has no checkpoint: it starts again from step 0.',
  );
  const metrics = await MetricsFile.open(run_dir);
  await metrics.append({ kind: 'resume', step: 0 }).finally(() => metrics.close());
}

/** The runtime; if there is none, run.json records the failure too. */
async function runtimeFor(start: TrainingStart, context: CommandContext): Promise<Runtime> {
  try {
    return await useRuntime(context);
  } catch (error) {
    await RunSupervisor.recordFailure(start, LoraError.from(error, 'runtime'));
    throw error;
  }
}
