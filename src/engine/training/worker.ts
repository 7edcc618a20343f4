/**
 * The worker thread: it owns libtensorflow, the model and the optimizer. Their calls block this
 * thread, while the main thread stays responsive.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Model } from '../../models/model';
import type { Ops } from '../../models/ops/ops';
import { LoraError } from '../../shared/errors';
import type { GenerateParams } from '../../shared/engineProtocol';
import { RUN_FILES } from '../../shared/run';
import type { Recipe } from '../../shared/recipe';
import { positionsOf } from '../../formats/architecture/positions';
import { hasReference } from '../../shared/objective';
import {
  comparedTraining,
  keptReferences,
  measureReferences,
  planComparisons,
  type ComparedTraining,
} from '../comparisons/comparedTraining';
import { DistilledTraining } from '../distillation/distilledTraining';
import { GENERAL_FILE, generalCases, GeneralLoss, readGeneralRows } from '../evaluation/general';
import { evaluateRun } from '../evaluation/ofRun';
import { answerPrompt } from '../model/answer';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { openLayersSources, prepareLayers } from '../layersModel/train';
import { callSharesOf } from '../tasks/callRows';
import { warnOfProblems } from '../report';
import { createOps } from '../model/backend';
import { machineOf } from '../model/machine';
import { checkpointFolder, readState } from './checkpoint';
import { Control, RunStopped } from './control';
import { dataFactsOf } from './dataFacts';
import { DatasetWatch } from './datasetWatch';
import { loadForTraining } from './load';
import { TrainingLoop } from './loop';
import {
  NO_ANSWERS,
  STOPPED_AT_ONCE,
  type RunAnswers,
  type RunFacts,
  type TrainJob,
  type WorkerEvent,
  type WorkerRequest,
} from './messages';
import { prepareTraining, reportSkipped, type PreparedTraining } from './prepare';
import { sampleJobs } from './samples';
import { AdapterProduct } from './products/adapterProduct';
import { ModelProduct } from './products/modelProduct';
import type { ProductKind } from './products/product';

const port = parentPort;
if (!port) throw new Error("This file is the engine's worker thread; cli.js starts it.");
const control = new Control(port);
const emit = (event: WorkerEvent) => port.postMessage(event);
/** Reports the progress of what precedes the first step, and interrupts it when it is stopped. */
const reportProgress =
  (phase: 'reading data' | 'loading model' | 'reference') => (fraction: number) => {
    emit({ kind: 'progress', progress: { phase, fraction } });
    control.throwIfStopped();
  };

async function runJob(job: TrainJob): Promise<void> {
  reportProgress('reading data')(0);
  if (isLayersModelPath(job.recipe.base)) return trainLayers(job);
  const prepared = await prepareTraining(job.recipe, job.run_dir, new Date(job.created), {
    info,
    warn,
    onData: reportProgress('reading data'),
    recordedPlan: job.step_plan,
    machine: await machineOf(job.runtime),
  });
  try {
    await train(job, prepared);
  } finally {
    prepared.data.close();
    await prepared.base.close();
  }
}

const info = (message: string) => emit({ kind: 'log', level: 'info', message });

function warn(message: string): void {
  emit({ kind: 'log', level: 'warn', message });
}

async function train(job: TrainJob, prepared: PreparedTraining): Promise<void> {
  const { recipe, run_dir, resume_from } = job;
  const checkpoint = resume_from === null ? null : checkpointFolder(run_dir, resume_from);
  const ops = await createOps(job.runtime, job.dist);
  const load = (from: string | null) =>
    loadForTraining(prepared, recipe, from, {
      ops,
      onProgress: reportProgress('loading model'),
    });
  // before the model is loaded: the teacher is freed by then
  const distilled =
    prepared.teacher &&
    (await DistilledTraining.open(prepared.teacher, prepared, {
      recipe,
      run_dir,
      ops,
      onProgress: reportProgress('reference'),
    }));
  try {
    await trainModel(job, prepared, { checkpoint, load, ops, distilled });
  } finally {
    await distilled?.close();
  }
}

interface TrainingParts extends Loading {
  readonly ops: Ops;
  readonly distilled: DistilledTraining | null;
}

async function trainModel(
  job: TrainJob,
  prepared: PreparedTraining,
  { checkpoint, load, ops, distilled }: TrainingParts,
): Promise<void> {
  const { recipe, run_dir } = job;
  const { model, compared } = await loadCompared(job, prepared, { checkpoint, load });
  ops.yieldPoint = () => control.betweenOperations();
  const product =
    recipe.training.method === 'full'
      ? new ModelProduct(prepared, recipe, model)
      : new AdapterProduct(prepared, recipe, model);
  const general = await generalLossOf(job, prepared);
  const watch = await DatasetWatch.of(prepared.data.fingerprint, warn);
  const loop = new TrainingLoop({
    ...prepared,
    model,
    product,
    compared,
    distilled,
    sampleJobs: () => sampleJobs(recipe, model, prepared),
    answerScores: async (onAnswer) => ({
      ...(await callSharesOf(prepared.questions, { ...prepared, model, onAnswer })),
      ...(await general?.scores(model)),
    }),
    recipe,
    run_dir,
    control,
    emit,
    onSave: () => watch.check(),
  });
  const { total_steps } = loop.plan;
  await runLoop(job, loop, {
    product: product.kind,
    facts: factsOf(prepared, model, { total_steps, device: ops.name }),
    generate: (params) => generate(model, prepared, recipe, params),
    dispose: () => model.dispose(),
    answers: () => answersOf(job, prepared),
  });
}

/** Trains a layers model of TensorFlow.js. */
async function trainLayers(job: TrainJob): Promise<void> {
  const { recipe, run_dir } = job;
  const hooks = { info, warn, onData: reportProgress('reading data') };
  const sources = await openLayersSources(recipe, run_dir, hooks);
  try {
    await reportSkipped(sources.data, run_dir, hooks);
    warnOfProblems(sources.data.warnings, warn);
    reportProgress('loading model')(0);
    const { data, model, product, facts } = await prepareLayers(job, sources, hooks);
    const watch = await DatasetWatch.of(data.fingerprint, warn);
    const loop = new TrainingLoop({
      data,
      model,
      product,
      tokenizer: null,
      compared: null,
      distilled: null,
      sampleJobs: () => [],
      answerScores: () => Promise.resolve({}),
      recipe,
      run_dir,
      control,
      emit,
      onSave: () => watch.check(),
    });
    await runLoop(job, loop, {
      product: product.kind,
      facts: { ...facts, total_steps: loop.plan.total_steps },
      generate: () =>
        Promise.reject(new LoraError('usage', 'A layers model cannot generate text.')),
      dispose: () => model.dispose(),
      answers: () => Promise.resolve(NO_ANSWERS),
    });
  } finally {
    sources.data.close();
  }
}

/** What a loop runs with. */
interface LoopRun {
  readonly facts: RunFacts;
  readonly product: ProductKind;
  readonly generate: (params: GenerateParams) => Promise<{ readonly text: string }>;
  /** Frees the model: the loop is over. */
  readonly dispose: () => void;
  /** What the trained model answers. */
  readonly answers: () => Promise<RunAnswers>;
}

async function runLoop(
  job: TrainJob,
  loop: TrainingLoop,
  { facts, product, generate, dispose, answers }: LoopRun,
): Promise<void> {
  const { run_dir, resume_from } = job;
  emit({ kind: 'facts', facts });
  control.onRequest(async (request: WorkerRequest) =>
    request.kind === 'checkpoint'
      ? { path: await loop.saveBetweenSteps() }
      : generate(request.params),
  );
  if (resume_from !== null) loop.restore(await readState(checkpointFolder(run_dir, resume_from)));
  emit({ kind: 'state', state: 'running' });
  if (job.rates) {
    await loop.takeStepsAt(job.rates);
    dispose();
    return;
  }
  const state = await loop.run();
  await control.answerRequests();
  dispose();
  const { stopped_early, hasTrained } = loop;
  const isOver = state === 'completed' && hasTrained;
  const given = isOver ? await answers() : NO_ANSWERS;
  const written = hasTrained ? product : null;
  emit({ kind: 'done', state, product: written, stopped_early, ...given });
}

/** Null: what is forgotten is not measured. */
async function generalLossOf(
  { recipe, dist }: TrainJob,
  { tokenizer, base: { spec } }: PreparedTraining,
): Promise<GeneralLoss | null> {
  if (!recipe.evaluate.forgetting || !tokenizer) return null;
  const { vocab_size } = spec;
  const positions = positionsOf(spec);
  return GeneralLoss.of(await readGeneralRows(dist), { tokenizer, vocab_size, positions });
}

/** How often a stop is looked for while questions are answered. */
const STOP_INTERVAL_MS = 100;

/** The longest answer to a general question, in tokens. */
const GENERAL_TOKENS = 64;

/** The adapter is written by now: whatever happens here, the training is complete. */
async function answersOf(job: TrainJob, prepared: PreparedTraining): Promise<RunAnswers> {
  const { recipe, run_dir, created, dist, runtime } = job;
  const { suites, max_new_tokens, forgetting } = recipe.evaluate;
  const stop = new AbortController();
  const timer = setInterval(() => {
    if (!control.stopped || stop.signal.aborted) return;
    emit({ kind: 'stopping' });
    stop.abort();
  }, STOP_INTERVAL_MS);
  const run = { recipe, run_dir, created, step_plan: prepared.step_plan };
  const answer = async (asked: Omit<Parameters<typeof evaluateRun>[0], keyof typeof run>) => {
    if (asked.cases.length === 0 || stop.signal.aborted) return null;
    try {
      return await evaluateRun(
        { ...run, ...asked },
        // the training has told the same before
        { dist, runtime, warn: () => undefined },
        {
          onProgress: (_, fraction) =>
            emit({ kind: 'progress', progress: { phase: 'evaluating', fraction } }),
          signal: stop.signal,
        },
      );
    } catch (error) {
      const reason = LoraError.from(error, 'run').describe();
      warn(`The questions of ${asked.suites.join(', ')} were not answered: ${reason}`);
      return null;
    }
  };
  try {
    const isAsked = forgetting && recipe.training.method === 'lora';
    const evaluation = await answer({
      cases: prepared.suites,
      suites,
      max_new_tokens,
      folder: RUN_FILES.evaluation,
    });
    const general = await answer({
      cases: isAsked ? generalCases(await readGeneralRows(dist)) : [],
      suites: [GENERAL_FILE],
      max_new_tokens: GENERAL_TOKENS,
      folder: RUN_FILES.forgetting,
    });
    return { evaluation, general };
  } finally {
    clearInterval(timer);
  }
}

interface Loading {
  /** The folder to continue from; null: the start. */
  readonly checkpoint: string | null;
  readonly load: (checkpoint: string | null) => Promise<Model>;
}

/**
 * Loads the model. Where answers are compared with a reference, that is the model before the first
 * step: a resumed run that does not keep its measures takes them again from there.
 */
async function loadCompared(
  { recipe, run_dir }: TrainJob,
  prepared: PreparedTraining,
  { checkpoint, load }: Loading,
): Promise<{ readonly model: Model; readonly compared: ComparedTraining | null }> {
  const planned = planComparisons(prepared, recipe);
  if (!planned) return { model: await load(checkpoint), compared: null };
  const { data, base } = prepared;
  const max_length = Math.min(recipe.training.max_length, positionsOf(base.spec));
  const measure = (model: Model) =>
    measureReferences(planned, model, {
      data,
      max_length,
      recipe,
      run_dir,
      onProgress: reportProgress('reference'),
    });
  let references = await keptReferences(planned, run_dir);
  const isMeasured = hasReference(planned.objective) && !references;
  if (isMeasured && checkpoint !== null) {
    const start = await load(null);
    references = await measure(start).finally(() => start.dispose());
  }
  const model = await load(checkpoint);
  if (isMeasured && checkpoint === null) references = await measure(model);
  const parts = { model, collate: data.collate, max_length };
  return { model, compared: comparedTraining(planned, references, parts) };
}

async function generate(
  model: Model,
  { tokenizer, base }: PreparedTraining,
  { training: { seed } }: Recipe,
  params: GenerateParams,
): Promise<{ readonly text: string }> {
  if (!tokenizer || base.spec.head.kind !== 'lm')
    throw new LoraError('usage', `A model for the task ${base.spec.task} cannot generate text.`);
  const { text } = await answerPrompt(model, tokenizer, params.prompt, {
    ...params,
    seed,
    onText: () => !control.stopped,
  });
  return { text };
}

function factsOf(
  { base, data, step_plan }: PreparedTraining,
  { architecture, trainable_parameters }: Model,
  { total_steps, device }: Pick<RunFacts, 'total_steps' | 'device'>,
): RunFacts {
  return {
    base: { name: base.name, architecture, parameters: base.parameters },
    weight_files: base.weight_files,
    data: dataFactsOf(data),
    step_plan,
    trainable_parameters,
    total_steps,
    device,
  };
}

runJob(workerData as TrainJob)
  .catch((error: unknown) => {
    if (error instanceof RunStopped) emit(STOPPED_AT_ONCE);
    else emit({ kind: 'failed', error: LoraError.from(error, 'run').serialize() });
  })
  .finally(() => port.close());
