import * as v from 'valibot';
import { prepareData, readData } from '../../data/dataset/prepare';
import { openTable } from '../../formats/tables/openTable';
import type { RawRow } from '../../formats/tables/table';
import { throwErrors } from '../../data/dataset/problems';
import { positionsOf } from '../../formats/architecture/positions';
import { readAdapterTask } from '../../formats/peft/task';
import { LoraError, type Problem } from '../../shared/errors';
import type { Scores } from '../../shared/metrics/lines';
import { hasReference, objectiveOf, type ObjectiveMethod } from '../../shared/objective';
import { RecipeSchema, type Recipe } from '../../shared/recipe';
import { countOf, isObject } from '../../shared/values';
import { Comparisons, fixedBatches, type ComparedPart } from '../comparisons/comparisons';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { isReward } from '../model/labels';
import { withModel, type LoadedModel, type ModelPaths, type OpenOptions } from '../model/openModel';
import { warnOfProblems } from '../report';
import { evaluateCompared } from '../tasks/evaluate';
import { printResult, type CommandContext } from './context';

/** The rows of a dataset with answers that are compared, and by what. */
export interface ComparedBy {
  readonly task: 'causal_lm' | 'reward';
  readonly method: ObjectiveMethod;
}

/** The keys of a dataset's first row; none where it cannot be read, which is reported later. */
export async function firstRowKeys(file: string): Promise<readonly string[]> {
  const table = await openTable(file).catch(() => null);
  if (!table) return [];
  try {
    for await (const [row] of table.rows()) return row ? keysOf(row) : [];
    return [];
  } catch {
    return [];
  } finally {
    await table.close();
  }
}

function keysOf(raw: RawRow): readonly string[] {
  if (raw.kind !== 'json') return raw.kind === 'values' ? Object.keys(raw.values) : [];
  const row: unknown = JSON.parse(raw.bytes?.toString('utf8') ?? 'null');
  return isObject(row) ? Object.keys(row) : [];
}

/**
 * What the rows of a dataset are compared by; null: they are not.
 *
 * @param adapters The last one decides whether the model gives rewards.
 */
export async function comparedBy(
  file: string,
  adapters: readonly string[],
  method: ObjectiveMethod,
): Promise<ComparedBy | null> {
  const keys = await firstRowKeys(file);
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

interface Settings {
  readonly file: string;
  readonly exact: boolean;
  readonly max_length: number;
}

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
  { file, exact, max_length }: Settings,
  context: CommandContext,
): Promise<void> {
  if (exact)
    throw new LoraError('usage', '--exact is for rows with one right answer.', {
      fix: 'Leave out --exact.',
    });
  const recipe = v.parse(RecipeSchema, {
    base: paths.base,
    dataset: file,
    task,
    objective: { method },
    validation_split: 0,
    training: { max_length },
  });
  const alone = { ...paths, adapters: [] };
  const references = hasReference(objectiveOf(recipe)!)
    ? await withModel(alone, context, opening, (loaded) =>
        withRows(loaded, recipe, ({ comparisons, part }) => comparisons.measure(part)),
      )
    : null;
  await withModel(paths, context, opening, (loaded) =>
    withRows(loaded, recipe, async ({ comparisons, part, warnings }) => {
      warnOfProblems(warnings, context.warn);
      const compared = { ...part, references };
      const { loss, labelled, scores } = await evaluateCompared(
        loaded.model,
        comparisons,
        compared,
      );
      const { method: name } = comparisons.objective;
      const facts = { examples: part.examples.length, method: name, loss, ...scores };
      printResult(context, facts, () => describe(loss, labelled, scores));
    }),
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
  const read = await readData(recipe, null);
  throwErrors(read.datasets.flatMap(({ problems }) => problems));
  const data = await prepareData(read, recipe, await dataToolsOf(base));
  try {
    const max_length = Math.min(recipe.training.max_length, positionsOf(base.spec));
    const { train: examples, collate, warnings } = data;
    const comparisons = new Comparisons({ model, objective, collate, max_length });
    const batches = fixedBatches(examples, objective, ROWS_PER_BATCH);
    return await use({ comparisons, part: { examples, batches }, warnings });
  } finally {
    data.close();
  }
}

const describe = (loss: number, rows: number, scores: Scores): string =>
  [
    `loss ${loss.toFixed(4)} on ${countOf(rows, 'row')}`,
    ...Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(4)}`),
  ].join(', ');
