import { hubFiles } from '../download/datasetHub';
import path from 'node:path';
import { examineData } from '../../data/dataset/examine';
import { RowCache } from '../../data/dataset/rowCache';
import { positionsOf } from '../../formats/architecture/positions';
import type { BaseModel } from '../../formats/baseModel';
import { sourceFacts } from '../../data/dataset/sourceFacts';
import { checkPacking } from '../../data/dataset/packing';
import { readData } from '../../data/dataset/prepare';
import type { CheckedDataset, CheckedRecipe } from '../../shared/checkedRecipe';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { StepMemory } from '../../shared/stepMemory';
import type { DataStatistics } from '../../data/examples/tokenizeRows';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { placeOfKey } from '../../shared/recipeFile';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { examineLayers } from '../layersModel/examine';
import { suitesOf } from '../evaluation/ofRun';
import { recipeError } from './errorForUser';
import { planTeacher } from '../distillation/teacher';
import { openForTraining, type OpenedForTraining } from './open';
import { withInitialHead } from './plans/fullFineTuningPlan';
import { planWeights } from './prepare';
import { readPart, tokenizePart } from './readProgress';
import { readRecipeText } from './readRecipe';
import { machineOfProcessor } from '../model/machine';
import { memoryOfSteps, planResources } from './resources';

type Examined = Pick<
  CheckedRecipe,
  'base' | 'limit' | 'datasets' | 'sources' | 'problems' | 'memory' | 'layers_memory'
>;

export interface ExamineSettings {
  /** Progress from 0 to 1. What it throws ends the check. */
  readonly report: (fraction: number) => void;
  /** A file that keeps the lengths of rows from one check to the next. */
  readonly rowCache?: string | null;
  /** The memory that a run can take; this machine's by default. */
  readonly available?: number | null;
  /** Receives the plan of how steps are computed. */
  readonly info?: (text: string) => void;
  /** Receives the progress of dataset downloads. */
  readonly onDownload?: (text: string) => void;
}

/**
 * Prepares a training run as `prepareTraining` does, and collects what it would refuse or warn of
 * before its first step. Without a readable base the rows are checked, but no tokens are counted.
 *
 * @param file The recipe, for the lines of its keys.
 * @throws LoraError('dataset') when a dataset cannot be read.
 */
export async function examineRecipe(
  recipe: Recipe,
  file: string,
  { report, rowCache = null, available, info, onDownload = info }: ExamineSettings,
): Promise<Examined> {
  const problems: Problem[] = [];
  const refuse = async (error: unknown) => {
    if (!(error instanceof LoraError) || error.area === 'dataset') throw error;
    const placed = error.area === 'recipe' ? await recipeError(error, file) : error;
    problems.push(...problemsOf(placed));
  };
  const warn = await warnerFor(file, problems);
  if (isLayersModelPath(recipe.base))
    return examineLayers(recipe, file, { report, problems, warn, refuse });
  const reading = { onProgress: readPart(report), ...(onDownload && { info: onDownload }) };
  const rowsAlone = async (error: unknown): Promise<Examined> => {
    await refuse(error);
    const hub = hubFiles({ check: () => report(0), info: onDownload });
    return {
      base: null,
      limit: recipe.training.max_length,
      datasets: await examineData(await readData(recipe, null, { hub }), recipe, null, {
        onProgress: report,
      }),
      sources: [],
      problems,
    };
  };
  const opened = await openForTraining(recipe, reading).catch(rowsAlone);
  if (!('read' in opened)) return opened;
  const { base, read } = opened;
  try {
    const tools = await dataToolsOf(base, recipe);
    const cache = await rowCacheFor(recipe, base, rowCache);
    const datasets = await examineData(read, recipe, tools, {
      onProgress: tokenizePart(report),
      cache,
    });
    await cache?.save();
    await suitesOf(recipe, { tokenizer: tools.tokenizer, base }).catch(refuse);
    const planned: { memory?: StepMemory } = {};
    await examinePlan(recipe, opened, {
      planned,
      runDir: path.dirname(file),
      warn,
      datasets,
      info: info ?? (() => undefined),
      available: available ?? undefined,
    }).catch(refuse);
    const limit = Math.min(recipe.training.max_length, tools.max_positions);
    const sources = sourceFacts(read, datasets);
    return { base: base.name, limit, datasets, sources, problems, ...planned };
  } catch (error) {
    return await rowsAlone(error);
  } finally {
    await base.close();
  }
}

/** Adds warnings to problems, each at the line of its key. */
async function warnerFor(
  file: string,
  problems: Problem[],
): Promise<(message: string, key?: string) => void> {
  const text = await readRecipeText(file).catch(() => null);
  return (message, key) => {
    const place = text !== null && key !== undefined ? placeOfKey(text, file, key) : undefined;
    problems.push({ severity: 'warning', message, ...(place && { place }) });
  };
}

/** A cache for what the lengths of rows depend on. Undefined: none, or they depend on more. */
async function rowCacheFor(
  recipe: Recipe,
  base: BaseModel,
  file: string | null,
): Promise<RowCache | undefined> {
  if (file === null || recipe.task !== 'causal_lm') return undefined;
  const files = await base.readTokenizer();
  if (files.chat_template?.includes('strftime_now') === true) return undefined;
  const { labels, chats, unlabelled_rows, skip_faulty_rows, chat_template_kwargs } = recipe;
  const { objective, tools } = recipe;
  return RowCache.open(
    file,
    JSON.stringify([
      files,
      { labels, chats, unlabelled_rows, skip_faulty_rows, chat_template_kwargs, objective, tools },
      [recipe.training.max_length, positionsOf(base.spec), base.spec.vocab_size],
    ]),
  );
}

interface PlanInputs {
  /** Where runs of the recipe are written below. */
  readonly runDir: string;
  readonly datasets: readonly CheckedDataset[];
  readonly warn: (message: string, key?: string) => void;
  readonly info: (text: string) => void;
  /** This machine's memory by default. */
  readonly available: number | undefined;
  /** Gets the memory, even where there is too little. */
  readonly planned: { memory?: StepMemory };
}

/** Plans the adapter, and the memory where the rows are without errors. */
async function examinePlan(
  recipe: Recipe,
  { base: opened, read }: OpenedForTraining,
  { runDir, warn, datasets, info, available, planned }: PlanInputs,
): Promise<void> {
  const { method, seed } = recipe.training;
  const base = method === 'full' ? withInitialHead(opened, seed) : opened;
  const hooks = { info: () => undefined, warn };
  const plan = await planWeights(recipe, base, hooks);
  checkPacking(recipe);
  const facts = datasets.map(({ statistics }) => statistics);
  const drawn = sourceFacts(read, datasets).reduce((sum, own) => sum + own.drawn, 0);
  if (facts.includes(null) || drawn === 0) return; // without rows a step has no size
  const most = (key: 'longest' | 'sequences') => Math.max(0, ...facts.map((own) => own![key]));
  const [longest, sequences] = [most('longest'), most('sequences')];
  const labelled_tokens = facts.reduce((sum, own) => sum + own!.labelled_tokens, 0);
  const inputs = {
    recipe,
    base,
    plan,
    runDir,
    data: {
      train: { length: drawn },
      statistics: {
        train: { longest, sequences, labelled_tokens, ...imagesIn(facts) },
        validation: { longest, sequences, labelled_tokens: 0 },
      },
    },
  };
  const machine = machineOfProcessor(available);
  planned.memory = memoryOfSteps(inputs, machine);
  const step_plan = await planResources(inputs, { warn, info, recordedPlan: null, machine });
  await planTeacher(inputs, step_plan, { info, machine });
}

/** The images in the rows of all datasets, if there are any. */
function imagesIn(
  facts: readonly (Pick<DataStatistics, 'images'> | null)[],
): Pick<DataStatistics, 'images'> {
  const all = facts.flatMap((own) => own?.images ?? []);
  if (all.length === 0) return {};
  const largest = Math.max(...all.map((own) => own.largest));
  return { images: { largest, tokens: all.reduce((sum, own) => sum + own.tokens, 0) } };
}

/** An error as problems: its own message with what to do, then those that it collects. */
function problemsOf(error: LoraError): Problem[] {
  const { place, fix, message } = error;
  const text = fix === undefined ? message : `${message} ${fix}`;
  return [{ severity: 'error', message: text, ...(place && { place }) }, ...error.problems];
}
