import path from 'node:path';
import { replaceFile } from '../../common/atomicWrite';
import { removeWithin } from '../../common/withoutLinks';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { BaseModel } from '../../formats/baseModel';
import { refuseUnreadable } from '../../formats/unreadable';
import type { Adapter } from '../../lora/adapter';
import { isOfCalls } from '../../shared/bestMetric';
import { writesText } from '../../shared/task';
import { firstPathOf } from '../../shared/datasetSources';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { RUN_FILES, type StepPlan } from '../../shared/run';
import { countOf } from '../../shared/values';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { suitesOf } from '../evaluation/ofRun';
import type { SuiteCase } from '../evaluation/suiteFile';
import { describeExcluded, describeSkipped, warnOfProblems } from '../report';
import { planTeacher, type TeacherPlan } from '../distillation/teacher';
import { openForTraining } from './open';
import { planAdapter, type AdapterPlan } from './plans/adapterPlan';
import { planFullFineTuning, withInitialHead } from './plans/fullFineTuningPlan';
import { planResources, type ResourceHooks } from './resources';
import { readPart, tokenizePart } from './readProgress';
import { callQuestions, type CallQuestion } from '../tasks/callRows';
import { samplePrompts, type SamplePrompt } from './samples';
import type { StartingAdapters } from './startAdapter';

/** Everything that a training run needs before its weights are loaded. */
export interface PreparedTraining extends StartingAdapters {
  /** To be closed by the caller of prepareTraining, as `data`. */
  readonly base: BaseModel;
  /** Null for images. */
  readonly tokenizer: Tokenizer | null;
  readonly data: PreparedData;
  /** Adapters below the trained one that do not change. */
  readonly frozen: readonly Adapter[];
  readonly step_plan: StepPlan;
  /** Null: the recipe has no teacher. */
  readonly teacher: TeacherPlan | null;
  /** Prompts that a language model answers during training; empty for other tasks. */
  readonly prompts: readonly SamplePrompt[];
  /** Rows whose answers are checked for their calls at each evaluation; empty without calls. */
  readonly questions: readonly CallQuestion[];
  /** What is answered at the end; empty without suites. */
  readonly suites: readonly SuiteCase[];
}

/** What `prepareTraining` reports to, and the machine that it plans for. */
export interface PrepareHooks extends ResourceHooks {
  /** Progress of reading the data, from 0 to 1. What it throws ends the preparation. */
  readonly onData: (fraction: number) => void;
}

const MAX_LABELS_SHOWN = 20;

/**
 * Opens and checks the base, the dataset and the adapter, and whether memory and disk space
 * suffice. `now`: the time that chat templates see.
 *
 * @throws LoraError; the base is closed then
 */
export async function prepareTraining(
  recipe: Recipe,
  runDir: string,
  now: Date,
  hooks: PrepareHooks,
): Promise<PreparedTraining> {
  const { base: opened, read } = await openForTraining(recipe, {
    onProgress: readPart(hooks.onData),
    info: hooks.info,
  });
  const isFull = recipe.training.method === 'full';
  const base = isFull ? withInitialHead(opened, recipe.training.seed) : opened;
  const closing: (() => void)[] = [];
  try {
    const { chat_template_kwargs } = recipe;
    const tools = await dataToolsOf(base, { now, chat_template_kwargs });
    const { tokenizer } = tools;
    const suites = await suitesOf(recipe, { tokenizer, base });
    const plan = await planWeights(recipe, base, hooks);
    const data = await prepareData(read, recipe, {
      ...tools,
      scratch_folder: runDir,
      onProgress: tokenizePart(hooks.onData),
    });
    closing.push(data.close);
    refuseImages(recipe, data);
    tellUnusedTower(plan, base, data, hooks);
    await reportSkipped(data, runDir, hooks);
    reportData(data, recipe, tools.max_positions, hooks);
    const inputs = { recipe, base, plan, data, runDir };
    const step_plan = await planResources(inputs, hooks);
    const teacher = await planTeacher(inputs, step_plan, hooks);
    const isSampled = tokenizer !== null && writesText(recipe.task);
    const questions =
      isSampled && recipe.task === 'causal_lm' && recipe.samples.sample_steps > 0
        ? callQuestions(data.call_answers, tokenizer)
        : [];
    if (questions.length === 0) refuseCallMetric(recipe);
    return {
      base,
      tokenizer,
      data,
      step_plan,
      teacher,
      frozen: plan.frozen,
      ...(await plan.create()),
      prompts: isSampled ? samplePrompts(recipe, data, tokenizer, hooks.warn) : [],
      questions,
      suites,
    };
  } catch (error) {
    closing.forEach((close) => close());
    await base.close();
    throw error;
  }
}

/** @throws LoraError('recipe') where best/ is to be chosen by calls, but no row has one */
function refuseCallMetric({ training, validation, dataset }: Recipe): void {
  const { metric_for_best_model: metric } = training;
  if (!isOfCalls(metric)) return;
  throw new LoraError(
    'recipe',
    `Evaluations of these rows have no "${metric}": no answer of the validation set calls a tool.`,
    {
      place: {
        file: validation ?? firstPathOf(dataset),
        key: 'training.metric_for_best_model',
      },
      fix: 'Give rows for validation whose answers call tools, or choose another metric_for_best_model.',
    },
  );
}

/** Says which modules stay as they are, as in PEFT, because no row has an image. */
function tellUnusedTower(
  { modules }: Pick<AdapterPlan, 'modules'>,
  { spec: { vision } }: BaseModel,
  { has_images }: PreparedData,
  { info }: PrepareHooks,
): void {
  if (!vision || has_images) return;
  const { length } = modules.filter(({ path }) => path.startsWith(`${vision.path}.`));
  if (length > 0)
    info(
      `No row has an image: ${countOf(length, 'module')} of ${vision.path} ${length === 1 ? 'stays' : 'stay'} as at the start.`,
    );
}

/** @throws LoraError('recipe') where texts have images, and are not learned by an adapter alone */
function refuseImages({ training, dataset }: Recipe, { has_images }: PreparedData): void {
  if (!has_images || training.method !== 'full') return;
  throw new LoraError('recipe', 'Rows with images cannot be trained with all weights.', {
    place: { file: firstPathOf(dataset), key: 'training.method' },
    fix: 'Set training.method to "lora".',
  });
}

/** Warns of rows that are left out, and lists them in the run's folder. */
export async function reportSkipped(
  { skipped, excluded }: Pick<PreparedData, 'skipped' | 'excluded'>,
  runDir: string,
  { info, warn }: Pick<PrepareHooks, 'info' | 'warn'>,
): Promise<void> {
  for (const line of describeExcluded(excluded)) info(line);
  const file = path.join(runDir, RUN_FILES.skipped);
  await removeWithin(file);
  if (skipped.rows === 0) return;
  await replaceFile(file, skipped.problems.map(skippedLine).join(''));
  warn([...describeSkipped(skipped), `All of them: ${file}`].join('\n'));
}

const skippedLine = ({ place, message, rows }: Problem): string =>
  `${JSON.stringify({ ...place, message, ...(rows !== undefined && { rows }) })}\n`;

/**
 * Checks the base and the adapters of a training run, and plans what is trained.
 *
 * @throws LoraError
 */
export async function planWeights(
  recipe: Recipe,
  base: BaseModel,
  hooks: Pick<PrepareHooks, 'info' | 'warn'>,
): Promise<AdapterPlan> {
  refuseUnreadable(base);
  return recipe.training.method === 'full'
    ? planFullFineTuning(recipe, base, hooks)
    : planAdapter(recipe, base, hooks);
}

/** `positions`: the longest input, in tokens, that the model supports. */
function reportData(
  data: PreparedData,
  { training: { max_length } }: Recipe,
  positions: number,
  { info, warn }: PrepareHooks,
): void {
  warnOfProblems(data.warnings, warn);
  const truncated = describeTruncated(data.statistics, max_length, positions);
  if (truncated !== null) warn(truncated);
  if (data.labels) info(describeLabels(data.labels));
}

/**
 * How many rows lose tokens, and to which limit; null if none does. `positions`: the longest input
 * of the model.
 */
export function describeTruncated(
  { train, validation }: PreparedData['statistics'],
  max_length: number,
  positions: number,
): string | null {
  const truncated = train.truncated + validation.truncated;
  if (truncated === 0) return null;
  const rows = train.examples + validation.examples;
  const limit =
    positions < max_length
      ? `${countOf(positions, 'token')}, the most that the model supports (max_length is ${max_length})`
      : `max_length = ${countOf(max_length, 'token')}`;
  const longest = Math.max(train.longest, validation.longest);
  const verb = truncated === 1 ? 'is' : 'are';
  return `${truncated} of ${countOf(rows, 'row')} ${verb} truncated to ${limit}; the longest has ${longest}.`;
}

/** "Labels: billing, delivery." */
function describeLabels({ problem_type, names }: LabelSet): string {
  const shown = names.slice(0, MAX_LABELS_SHOWN).join(', ');
  const hidden = names.length - MAX_LABELS_SHOWN;
  const kind = problem_type === 'regression' ? 'Regression targets' : 'Labels';
  return `${kind}: ${shown}${hidden > 0 ? `, and ${hidden} more` : ''}.`;
}
