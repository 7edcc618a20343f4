import { stat } from 'node:fs/promises';
import { firstPathOf, isHubSource, pathsOf } from '../../shared/datasetSources';
import path from 'node:path';
import { createFolder, replaceFile } from '../../common/atomicWrite';
import { cachedHash } from '../../common/hashCache';
import { hashFile } from '../../common/hashFile';
import { paddingId } from '../../data/examples/batch';
import { selectExamples, type Examples } from '../../data/examples/examples';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import type { BaseModel } from '../../formats/baseModel';
import { publishedBase } from '../../formats/hub/publishedBase';
import { modelCard } from '../../formats/peft/card';
import { CONFIG_FILE, WEIGHTS_FILE } from '../../formats/peft/fileNames';
import { writePeftAdapter } from '../../formats/peft/write';
import { writeSafetensors } from '../../formats/safetensors/write';
import type { Adapter } from '../../lora/adapter';
import { Adapters } from '../../models/adapters';
import type { Parameters } from '../../models/training/parameters';
import { LoraError } from '../../shared/errors';
import type { FileFingerprint, RunRecord } from '../../shared/run';
import { modelTaskOf } from '../../shared/task';
import { planTraining, type TrainingPlan } from '../../shared/trainingPlan';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { checkOutput } from '../outputPath';
import { fingerprintOf } from '../run/fingerprint';
import { dataFactsOf } from '../training/dataFacts';
import { EpochBatches } from '../training/epochBatches';
import { firstBatchLine } from '../training/firstBatch';
import { openForTraining } from '../training/open';
import { planWeights } from '../training/prepare';
import { readPart, tokenizePart } from '../training/readProgress';
import { exampleTensors, stepTensors } from './exampleTensors';
import { PLAN_FILES, type TrainingPlanFile } from './plan';
import { refuseUnsupported } from './supported';

const CARD_FILE = 'README.md';

/** Which training to prepare, and where to write the plan. */
export interface PreparePlanOptions {
  /** The record of the run that is about to start. */
  readonly record: RunRecord;
  /** Text of the recipe's file, for the lines of its keys. */
  readonly recipe_text: string | null;
  readonly workers: number | null;
  readonly output: string;
  readonly signal: AbortSignal;
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
  /** From 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/** A plan that was written. */
export interface PreparedPlan {
  readonly plan: TrainingPlanFile;
  /** Of plan.json. */
  readonly sha256: string;
}

/**
 * Prepares a training run for Ray Train: the examples of each step, with the token ids and labels
 * that the local engine trains on, and the adapter that it starts with. The folder appears only
 * when it is complete.
 *
 * @throws LoraError
 */
export async function preparePlan(options: PreparePlanOptions): Promise<PreparedPlan> {
  const { record, output, onProgress } = options;
  const { recipe } = record;
  await checkOutput(output, [
    recipe.base,
    ...pathsOf(recipe.dataset).filter((file) => !isHubSource(file)),
  ]);
  const { base, read } = await openForTraining(recipe, {
    onProgress: readPart(onProgress),
    info: options.info,
  });
  try {
    refuseUnsupported(
      { recipe, base, workers: options.workers },
      record.recipe_path ?? recipe.base,
      options.recipe_text,
    );
    const { chat_template_kwargs } = recipe;
    const tools = await dataToolsOf(base, { now: new Date(record.created), chat_template_kwargs });
    const weights = await planWeights(recipe, base, options);
    const data = await prepareData(read, recipe, {
      ...tools,
      onProgress: (fraction) => {
        options.signal.throwIfAborted();
        tokenizePart(onProgress)(fraction);
      },
    });
    try {
      if (data.has_weights) throw weightsError(firstPathOf(recipe.dataset));
      const { adapter } = await weights.create();
      if (adapter.trained.some(({ rows }) => rows)) throw tokensError(recipe.base);
      const { parameters } = new Adapters(adapter);
      return await writePlan({ base, data, adapter, parameters, tools }, options);
    } finally {
      data.close();
    }
  } finally {
    await base.close();
  }
}

const weightsError = (file: string): LoraError =>
  new LoraError('dataset', 'Ray Train gives all rows the same weight, but these have weights.', {
    place: { file },
    fix: 'Remove the column "weight", or train without "engine": "ray-train".',
  });

const tokensError = (file: string): LoraError =>
  new LoraError('adapter', 'init_adapter trains rows of tokens, which Ray Train does not yet.', {
    place: { file, key: 'lora.init_adapter' },
    fix: 'Train it without "engine": "ray-train".',
  });

interface Prepared {
  readonly base: BaseModel;
  readonly data: PreparedData;
  readonly adapter: Adapter;
  readonly parameters: Parameters;
  readonly tools: Awaited<ReturnType<typeof dataToolsOf>>;
}

async function writePlan(
  prepared: Prepared,
  { record, output, signal }: PreparePlanOptions,
): Promise<PreparedPlan> {
  const { base, data } = prepared;
  const { training } = record.recipe;
  const steps = planTraining(data.train.length, training);
  const base_files = await baseFingerprints(base, signal);
  const run: RunRecord = {
    ...record,
    base: {
      name: base.name,
      architecture: base.spec.family,
      parameters: base.parameters,
      fingerprint: weightFingerprints(base, base_files),
    },
    data: dataFactsOf(data),
    trainable_parameters: prepared.parameters.theta.length,
    total_steps: steps.total_steps,
  };
  let written: PreparedPlan | null = null;
  await createFolder(output, async (temp) => {
    await writeSafetensors(path.join(temp, PLAN_FILES.examples), [
      ...exampleTensors('train', data.train),
      ...exampleTensors('validation', byLength(data.validation)),
      ...stepTensors(data.train, training, steps),
    ]);
    await writeStart(path.join(temp, PLAN_FILES.start), prepared, run);
    const plan: TrainingPlanFile = {
      version: 1,
      run,
      files: await fingerprintsIn(temp, [PLAN_FILES.examples, ...START_FILES], signal),
      base: base_files,
      ...trainingFacts(prepared, run, steps),
    };
    const file = path.join(temp, PLAN_FILES.plan);
    await replaceFile(file, `${JSON.stringify(plan, null, 2)}\n`);
    written = { plan, sha256: await hashFile(file) };
  });
  return written!;
}

/** Of the folder of a plan. */
const START_FILES = [CONFIG_FILE, CARD_FILE, WEIGHTS_FILE].map(
  (name) => `${PLAN_FILES.start}/${name}`,
);

/** Examples of similar length are evaluated together. */
function byLength(examples: Examples): Examples {
  const order = Int32Array.from({ length: examples.length }, (_, i) => i);
  return selectExamples(
    examples,
    order.sort((a, b) => examples.lengthAt(a) - examples.lengthAt(b) || a - b),
  );
}

/** The facts of plan.json that are not about files. */
function trainingFacts(
  { data, parameters, tools, base }: Prepared,
  { recipe: { task, training } }: RunRecord,
  { steps_per_epoch }: TrainingPlan,
): Omit<TrainingPlanFile, 'version' | 'run' | 'files' | 'base'> {
  const [first] = new EpochBatches(data.trainIn, training).of(0);
  return {
    texts: [CONFIG_FILE, CARD_FILE],
    first_batch: firstBatchLine(
      first!.map((index) => data.train.at(index)),
      task,
      { tokenizer: tools.tokenizer, data },
    ),
    parameters: parameters.all.map(({ name, shape, role }) => ({
      name,
      shape,
      lr_ratio: role === 'B' ? (training.loraplus_lr_ratio ?? 1) : 1,
    })),
    pad_id: paddingId(tools.tokenizer, base.spec.vocab_size),
    steps_per_epoch,
  };
}

/** Writes the adapter that training starts with. Its card has – for what is not known yet. */
async function writeStart(
  folder: string,
  { base, adapter, data, parameters }: Prepared,
  { recipe, total_steps }: RunRecord,
): Promise<void> {
  const { config } = adapter;
  const targets =
    recipe.lora.init_adapter === null ? recipe.lora.target_modules : config.target_modules;
  await writePeftAdapter(folder, adapter, {
    task: modelTaskOf(recipe.task),
    labels: null,
    card: modelCard({
      task: modelTaskOf(recipe.task),
      labels: [],
      frozen_adapters: [],
      base: publishedBase(base),
      r: config.r,
      lora_alpha: config.lora_alpha,
      target_modules: [targets].flat().join(', '),
      trainable_parameters: parameters.theta.length,
      parameters: base.parameters,
      examples: data.train.length,
      steps: total_steps!,
      learning_rate: recipe.training.learning_rate,
      last_loss: null,
      validation_loss: null,
    }),
  });
}

/** The files of a base's folder that transformers loads. */
function filesToLoad({ path: folder, weight_files }: BaseModel): readonly string[] {
  const weights = weight_files.map((file) => path.relative(folder, file).replaceAll('\\', '/'));
  return [
    'config.json',
    ...(weights.length > 1 ? ['model.safetensors.index.json'] : []),
    ...weights,
  ];
}

/** The weight files as run.json names them. */
const weightFingerprints = (
  { path: folder, weight_files }: BaseModel,
  files: readonly FileFingerprint[],
): readonly FileFingerprint[] =>
  files
    .map(({ file, ...others }) => ({ file: path.join(folder, file), ...others }))
    .filter(({ file }) => weight_files.includes(file));

/** Of the files that are loaded, with hashes that are known from an earlier start. */
async function baseFingerprints(
  base: BaseModel,
  signal: AbortSignal,
): Promise<readonly FileFingerprint[]> {
  const files: FileFingerprint[] = [];
  for (const file of filesToLoad(base)) {
    const place = path.join(base.path, file);
    const sha256 = await cachedHash(place, { signal });
    files.push({ file, size: (await stat(place)).size, sha256 });
  }
  return files;
}

async function fingerprintsIn(
  folder: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly FileFingerprint[]> {
  const files: FileFingerprint[] = [];
  for (const file of names)
    files.push({ ...(await fingerprintOf(path.join(folder, file), signal)), file });
  return files;
}
