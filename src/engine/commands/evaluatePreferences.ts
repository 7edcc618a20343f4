import * as v from 'valibot';
import { prepareData } from '../../data/dataset/prepare';
import { positionsOf } from '../../formats/architecture/positions';
import { readAdapterTask } from '../../formats/peft/task';
import type { DatasetSource } from '../../shared/datasetSources';
import { LoraError, type Problem } from '../../shared/errors';
import type { Scores } from '../../shared/metrics/lines';
import { hasReference, objectiveOf, type ObjectiveMethod } from '../../shared/objective';
import { RecipeSchema, type Recipe } from '../../shared/recipe';
import { countOf } from '../../shared/values';
import { Comparisons, fixedBatches, type ComparedPart } from '../comparisons/comparisons';
import { ComparisonTotals } from '../comparisons/totals';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { isReward } from '../model/labels';
import { withModel, type LoadedModel, type ModelPaths, type OpenOptions } from '../model/openModel';
import { warnOfProblems } from '../report';
import { evaluateCompared } from '../tasks/evaluate';
import { printResult, type CommandContext } from './context';
import {
  describeSources,
  describeValues,
  firstRowKeys,
  readSource,
  settingOf,
  sourceFacts,
  together,
  type EvaluatedSource,
} from './evaluatedSources';
import type { EvaluateSettings } from './evaluateText';

/** The rows of a dataset with answers that are compared, and by what. */
export interface ComparedBy {
  readonly task: 'causal_lm' | 'reward';
  readonly method: ObjectiveMethod;
}

/**
 * What the rows of a dataset are compared by; null: they are not.
 *
 * @param adapters The last one decides whether the model gives rewards.
 */
export async function comparedBy(
  source: DatasetSource,
  adapters: readonly string[],
  method: ObjectiveMethod,
): Promise<ComparedBy | null> {
  const keys = await firstRowKeys(source);
  const has = (...names: string[]) => names.every((name) => keys.includes(name));
  const isPair = has('chosen', 'rejected') || has('chosen_ids', 'rejected_ids');
  const top = adapters.at(-1);
  const trained = top === undefined ? null : await readAdapterTask(top);
  if (isReward(trained?.labels ?? null)) return { task: 'reward', method: 'sft' };
  if (isPair) return { task: 'causal_lm', method };
  const isLabelled = has('completion', 'label') || has('completion_ids', 'label');
  return isLabelled ? { task: 'causal_lm', method: 'kto' } : null;
}

const ROWS_PER_BATCH = 4;

interface Compared {
  readonly paths: ModelPaths;
  readonly opening: OpenOptions;
  readonly compared: ComparedBy;
}

/**
 * Loss, rewards and log-probabilities of answers that are compared. The reference of dpo and kto is
 * the base without its adapters, which is loaded first.
 *
 * @throws LoraError
 */
export async function evaluatePreferences(
  { paths, opening, compared: { task, method } }: Compared,
  { sources, exact, max_length }: EvaluateSettings,
  context: CommandContext,
): Promise<void> {
  if (exact)
    throw new LoraError('usage', '--exact is for rows with one right answer.', {
      fix: 'Leave out --exact.',
    });
  const recipes = sources.map((source) =>
    v.parse(RecipeSchema, {
      base: paths.base,
      dataset: settingOf(source),
      task,
      objective: { method },
      validation_split: 0,
      training: { max_length },
    }),
  );
  const objective = objectiveOf(recipes[0]!)!;
  const references = hasReference(objective)
    ? await withModel({ ...paths, adapters: [] }, context, opening, (loaded) =>
        inOrder(recipes, (recipe) =>
          withRows(loaded, recipe, ({ comparisons, part }) => comparisons.measure(part)),
        ),
      )
    : null;
  const total = new ComparisonTotals();
  await withModel(paths, context, opening, async (loaded) => {
    const parts = await inOrder(recipes, (recipe, i) =>
      withRows(
        loaded,
        recipe,
        async ({ comparisons, part, warnings }): Promise<EvaluatedSource> => {
          warnOfProblems(warnings, context.warn);
          const own = { ...part, references: references?.[i] ?? null };
          const result = await evaluateCompared(loaded.model, comparisons, own, { total });
          return { source: sources[i]!, examples: part.examples.length, ...result };
        },
      ),
    );
    printPreferences(context, parts, { method: objective.method, scores: total.scores() });
  });
}

async function inOrder<T, R>(
  items: readonly T[],
  use: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const [i, item] of items.entries()) results.push(await use(item, i));
  return results;
}

function printPreferences(
  context: CommandContext,
  parts: readonly EvaluatedSource[],
  { method, scores }: { readonly method: string; readonly scores: Scores },
): void {
  const { examples, labelled, loss } = together(parts);
  const facts = { examples, method, loss, ...scores, ...sourceFacts(parts) };
  printResult(context, facts, () =>
    [
      [`loss ${loss.toFixed(4)} on ${countOf(labelled, 'row')}`, ...describeValues(scores)].join(
        ', ',
      ),
      ...describeSources(parts),
    ].join('\n'),
  );
}

interface Rows {
  readonly comparisons: Comparisons;
  readonly part: Omit<ComparedPart, 'references'>;
  readonly warnings: readonly Problem[];
}

async function withRows<T>(
  { base, model }: LoadedModel,
  recipe: Recipe,
  use: (rows: Rows) => Promise<T>,
): Promise<T> {
  const objective = objectiveOf(recipe)!;
  const read = await readSource(recipe, null);
  const data = await prepareData(read, recipe, await dataToolsOf(base));
  try {
    const max_length = Math.min(recipe.training.max_length, positionsOf(base.spec));
    const { train: examples, collate, warnings } = data;
    if (data.has_images) await model.loadImages();
    const comparisons = new Comparisons({ model, objective, collate, max_length });
    const batches = fixedBatches(examples, objective, ROWS_PER_BATCH);
    return await use({ comparisons, part: { examples, batches }, warnings });
  } finally {
    data.close();
  }
}
