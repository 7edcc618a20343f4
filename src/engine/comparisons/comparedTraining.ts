import { describeDataset, sourcesOf } from '../../shared/datasetSources';
import type { Model } from '../../models/model';
import { hasReference, objectiveOf, type Objective } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import { EpochBatches } from '../training/epochBatches';
import type { PreparedTraining } from '../training/prepare';
import { Comparisons, fixedBatches, type ComparedPart, type References } from './comparisons';
import {
  checkStated,
  hashOf,
  readReferences,
  writeReferences,
  type KeptReferences,
} from './references';

/** How a training run with compared answers makes its batches. */
export interface ComparedTraining {
  readonly comparisons: Comparisons;
  readonly train: ComparedPart;
  readonly validation: ComparedPart;
}

/** What is compared in a training run, before its reference is known. */
export interface PlannedComparisons {
  readonly objective: Objective;
  readonly train: Omit<ComparedPart, 'references'>;
  readonly validation: Omit<ComparedPart, 'references'>;
  /** What the references depend on. */
  readonly fingerprint: string;
}

/** Null: the recipe's rows are not compared. */
export function planComparisons(
  { data, base, step_plan }: Pick<PreparedTraining, 'data' | 'base' | 'step_plan'>,
  recipe: Recipe,
): PlannedComparisons | null {
  const objective = objectiveOf(recipe);
  if (!objective) return null;
  const { training, lora, labels, validation_split, chats, chat_template_kwargs } = recipe;
  const { per_device_train_batch_size: size, seed, max_length, shuffle, method } = training;
  const sources = sourcesOf(recipe.dataset, recipe.columns).map(
    ({ weight, rows: most, columns }) => [weight, most, columns],
  );
  const rows = [
    [labels, validation_split, chats, chat_template_kwargs, recipe.unlabelled_rows],
    sources,
  ];
  return {
    objective,
    train: {
      examples: data.train,
      batches:
        objective.method === 'kto'
          ? new EpochBatches(data.trainIn, training, true).of(0)
          : fixedBatches(data.train, objective, size),
    },
    validation: {
      examples: data.validation,
      batches: fixedBatches(data.validation, objective, size),
    },
    fingerprint: hashOf(
      JSON.stringify([
        // kto: answers are whole before another prompt's cuts them, unlike in older versions
        [
          objective.method === 'kto' ? 'kto, whole answers' : objective.method,
          size,
          seed,
          max_length,
          shuffle,
          method,
        ],
        rows,
        [lora.init_adapter, lora.frozen_adapters],
        [base.name, base.parameters, base.weight_files, step_plan],
        data.fingerprint,
      ]),
    ),
  };
}

/**
 * The references that the folder of a run keeps. Null: they have to be measured, or there are none.
 */
export async function keptReferences(
  planned: PlannedComparisons,
  runDir: string,
): Promise<KeptReferences | null> {
  const { objective, train, validation, fingerprint } = planned;
  if (!hasReference(objective)) return null;
  const isUnpaired = objective.method === 'kto';
  const width = isUnpaired ? 1 : 2;
  const sizes = {
    train: width * train.examples.length,
    validation: width * validation.examples.length,
  };
  return readReferences(runDir, fingerprint, { sizes, isUnpaired });
}

/** What measures the references, and where they are kept. */
export interface MeasureHooks {
  readonly data: PreparedTraining['data'];
  readonly max_length: number;
  readonly recipe: Recipe;
  readonly run_dir: string;
  /** From 0 to 1; what it throws ends the pass. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * Measures the answers under the model that training starts from, and keeps the results in the
 * folder of the run.
 *
 * @param model As before the first step.
 * @throws LoraError('dataset') where rows state log-probabilities of another model
 */
export async function measureReferences(
  { objective, train, validation, fingerprint }: PlannedComparisons,
  model: Model,
  { data, max_length, recipe, run_dir, onProgress }: MeasureHooks,
): Promise<KeptReferences> {
  const comparisons = new Comparisons({ model, objective, collate: data.collate, max_length });
  const all = train.examples.length + validation.examples.length;
  const share = train.examples.length / all;
  const measured = {
    train: await comparisons.measure(train, (done) => onProgress(done * share)),
    validation: await comparisons.measure(validation, (done) =>
      onProgress(share + done * (1 - share)),
    ),
  };
  checkStated(train.examples, measured.train, describeDataset(recipe.dataset));
  checkStated(
    validation.examples,
    measured.validation,
    recipe.validation ?? describeDataset(recipe.dataset),
  );
  await writeReferences(run_dir, measured, fingerprint);
  return measured;
}

/** A training run whose references are known. */
export function comparedTraining(
  planned: PlannedComparisons,
  references: KeptReferences | null,
  parts: {
    readonly model: Model;
    readonly collate: PreparedTraining['data']['collate'];
    readonly max_length: number;
  },
): ComparedTraining {
  const { objective, train, validation } = planned;
  const of = (part: keyof KeptReferences): References | null => references?.[part] ?? null;
  return {
    comparisons: new Comparisons({ objective, ...parts }),
    train: { ...train, references: of('train') },
    validation: { ...validation, references: of('validation') },
  };
}
