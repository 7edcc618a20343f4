import { hubFiles } from '../download/datasetHub';
import { firstPathOf } from '../../shared/datasetSources';
import { readData, type ReadData } from '../../data/dataset/prepare';
import { tasksOf } from '../../formats/architecture/readSpec';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import type { BaseModel } from '../../formats/baseModel';
import type { QuantizeOptions } from '../../formats/quantized/whileLoading';
import { isModuleToSave } from '../../lora/modulesToSave';
import { metricsOfTask } from '../../shared/bestMetric';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { isSingleOutput, modelTaskOf, type ProblemType, type Task } from '../../shared/task';
import { refuseOfOthers } from '../layersModel/settings';
import { headLabels, labelNamesOf } from '../model/labels';
import { countOf } from '../../shared/values';

/** A base and the rows to train it on. */
export interface OpenedForTraining {
  readonly base: BaseModel;
  /** The rows, not tokenized yet. */
  readonly read: ReadData;
}

/** Receives the progress while rows are read. */
export interface ReadingHooks {
  /** From 0 to 1. What it throws ends the reading. */
  readonly onProgress?: (fraction: number) => void;
  /** Receives the progress of dataset downloads. */
  readonly info?: (text: string) => void;
}

/**
 * Reads a recipe's rows and opens its base with the head that they need. The caller closes the
 * base.
 *
 * @throws LoraError; what `onProgress` throws
 */
export async function openForTraining(
  recipe: Recipe,
  { onProgress, info }: ReadingHooks = {},
): Promise<OpenedForTraining> {
  const { task, base: file, lora } = recipe;
  refuseOfOthers(recipe);
  const opening = { task: modelTaskOf(task), quantize: quantizeOf(recipe) };
  const base = await openBaseUnder(file, lora.init_adapter, opening);
  try {
    const initial = lora.init_adapter === null ? null : await readAdapterTask(lora.init_adapter);
    if (initial) refuseFrozenVocabulary(base, initial, lora.init_adapter!);
    const known = initial?.labels?.names ?? labelNamesOf(base);
    const hub = hubFiles({ check: () => onProgress?.(0), info });
    const read = await readData(recipe, known, { onProgress, hub });
    checkAgainstLabels(recipe, read.labels?.problem_type ?? null);
    checkSizes(recipe, base);
    const names = wantedLabels(task, base, read);
    if (!names) return { base, read };
    if (initial) checkLabelCount(initial.num_labels, names.length, lora.init_adapter!);
    else if (hasHead(base, task, names)) return { base, read };
    await base.close();
    return {
      base: await openBaseUnder(file, lora.init_adapter, {
        ...opening,
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

/** How a recipe quantizes its base while it is loaded. */
export const quantizeOf = ({ training, lora }: Recipe): QuantizeOptions | null =>
  training.quantize && { kind: training.quantize, modules_to_save: lora.modules_to_save };

/** @throws LoraError('recipe') for a setting that the kind of the rows' labels does not have */
function checkAgainstLabels(
  { task, dataset, problem_type, training }: Recipe,
  found: ProblemType | null,
): void {
  const { metric_for_best_model: metric, label_smoothing_factor } = training;
  const known = metricsOfTask(task, found ?? problem_type);
  const refuse = (key: string, message: string) =>
    new LoraError('recipe', message, {
      place: { file: firstPathOf(dataset), key: `training.${key}` },
    });
  if (!known.includes(metric))
    throw refuse(
      'metric_for_best_model',
      `Evaluations of these rows have no "${metric}". They have ${known.join(', ')}.`,
    );
  if (label_smoothing_factor > 0 && found !== null && found !== 'single_label_classification')
    throw refuse(
      'label_smoothing_factor',
      'Label smoothing is for single classes, but these rows have several or numbers. Set it to 0.',
    );
}

/** The outputs of the head that is trained; undefined: the model has no head for labels. */
function wantedLabels(
  task: Task,
  base: BaseModel,
  { labels }: ReadData,
): readonly string[] | undefined {
  if (task === 'reward') refuseEncoder(base);
  return headLabels(task, labels)?.names;
}

/** Whether the base has the head already. The name of its only output does not matter. */
function hasHead(base: BaseModel, task: Task, names: readonly string[]): boolean {
  const own = labelNamesOf(base);
  return isSingleOutput(task) ? own?.length === 1 : haveSameNames(names, own);
}

/** Answers are texts that a language model continues a prompt with. */
function refuseEncoder({ spec, path: file }: BaseModel): void {
  if (tasksOf(spec.family).includes('causal_lm')) return;
  throw new LoraError('base', `A ${spec.family} model reads no answers to prompts.`, {
    place: { file },
    fix: 'Choose a language model as the base of a reward model.',
  });
}

/** @throws LoraError('recipe') for shortened embeddings that are longer than the base's */
function checkSizes({ embedding, dataset }: Recipe, { spec: { hidden_size } }: BaseModel): void {
  const longest = Math.max(0, ...(embedding.matryoshka_dims ?? []));
  if (longest <= hidden_size) return;
  throw new LoraError(
    'recipe',
    `matryoshka_dims names ${longest}, but the embeddings of this base have ${countOf(hidden_size, 'number')}.`,
    { place: { file: firstPathOf(dataset), key: 'embedding.matryoshka_dims' } },
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
