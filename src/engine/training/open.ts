import { readData, type ReadData } from '../../data/dataset/prepare';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import type { BaseModel } from '../../formats/baseModel';
import { isModuleToSave } from '../../lora/modulesToSave';
import { metricsOfTask } from '../../shared/bestMetric';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { labelNamesOf } from '../model/labels';
import type { ProblemType } from '../../shared/task';
import { countOf } from '../../shared/values';

/** A base and the rows to train it on. */
export interface OpenedForTraining {
  readonly base: BaseModel;
  /** The rows, not tokenized yet. */
  readonly read: ReadData;
}

/**
 * Reads a recipe's rows and opens its base with the head that they need. The caller closes the
 * base.
 *
 * @param onProgress Of reading the rows, from 0 to 1.
 * @throws LoraError; what `onProgress` throws
 */
export async function openForTraining(
  recipe: Recipe,
  onProgress?: (fraction: number) => void,
): Promise<OpenedForTraining> {
  const { task, base: file, lora } = recipe;
  const base = await openBaseUnder(file, lora.init_adapter, { task });
  try {
    const initial = lora.init_adapter === null ? null : await readAdapterTask(lora.init_adapter);
    if (initial) refuseFrozenVocabulary(base, initial, lora.init_adapter!);
    const known = initial?.labels?.names ?? labelNamesOf(base);
    const read = await readData(recipe, known, onProgress);
    checkBestMetric(recipe, read.labels?.problem_type ?? null);
    const names = read.labels?.names;
    if (!names) return { base, read };
    if (initial) checkLabelCount(initial.num_labels, names.length, lora.init_adapter!);
    else if (haveSameNames(names, labelNamesOf(base))) return { base, read };
    await base.close();
    return {
      base: await openBaseUnder(file, lora.init_adapter, {
        task,
        num_labels: names.length,
        new_head: true,
      }),
      read,
    };
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** @throws LoraError('recipe') for a metric that the kind of the rows' labels does not have */
function checkBestMetric(
  { task, dataset, problem_type, training }: Recipe,
  found: ProblemType | null,
): void {
  const { metric_for_best_model: metric } = training;
  const known = metricsOfTask(task, found ?? problem_type);
  if (known.includes(metric)) return;
  throw new LoraError(
    'recipe',
    `Evaluations of these rows have no "${metric}". They have ${known.join(', ')}.`,
    { place: { file: dataset, key: 'training.metric_for_best_model' } },
  );
}

/** A vocabulary of the adapter's own can only be kept if it is trained with the adapter. */
function refuseFrozenVocabulary(
  { replaced }: BaseModel,
  { modules_to_save }: AdapterTask,
  file: string,
): void {
  const frozen = [...replaced].filter(
    (name) => !isModuleToSave(name.slice(0, name.lastIndexOf('.')), modules_to_save),
  );
  if (frozen.length === 0) return;
  throw new LoraError(
    'adapter',
    `The adapter replaces ${frozen.join(' and ')} of the base without training them, so it cannot be trained further.`,
    {
      place: { file, key: 'lora.init_adapter' },
      fix: 'Merge it into its base and train on the merged model.',
    },
  );
}

const haveSameNames = (a: readonly string[], b: readonly string[] | null) =>
  a.join('\0') === b?.join('\0');

/** The head of an adapter that is trained further keeps its labels. */
function checkLabelCount(num_labels: number | null, wanted: number, file: string): void {
  if (num_labels === null || num_labels === wanted) return;
  throw new LoraError(
    'adapter',
    `The adapter has ${countOf(num_labels, 'label')}, but the dataset has ${wanted}.`,
    {
      place: { file, key: 'lora.init_adapter' },
      fix: 'Use rows with the same labels, or start a new adapter.',
    },
  );
}
