import { readData, type DataRecipe, type ReadData } from '../../data/dataset/prepare';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import { readAdapterTask, type AdapterTask } from '../../formats/peft/task';
import type { BaseModel } from '../../formats/baseModel';
import { isModuleToSave } from '../../lora/modulesToSave';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';

export interface OpenedForTraining {
  readonly base: BaseModel;
  readonly read: ReadData;
}

/**
 * Opens a recipe's base with the head that its rows ask for, and reads the rows. The caller closes
 * the base. Errors: LoraError.
 */
export async function openForTraining(
  recipe: DataRecipe & Pick<Recipe, 'base' | 'lora'>,
): Promise<OpenedForTraining> {
  const { task, base: file, lora } = recipe;
  const base = await openBaseUnder(file, lora.init_adapter, { task });
  try {
    const started = lora.init_adapter === null ? null : await readAdapterTask(lora.init_adapter);
    if (started) refuseFrozenVocabulary(base, started, lora.init_adapter!);
    const read = await readData(recipe, started?.labels?.names ?? labelNamesOf(base));
    const names = read.labels?.names;
    if (!names) return { base, read };
    if (started) checkContinued(started.num_labels, names.length, lora.init_adapter!);
    else if (names === labelNamesOf(base) || same(names, labelNamesOf(base))) return { base, read };
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

/** An adapter holds its own vocabulary only where that trains with it. */
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
    `The adapter brings ${frozen.join(' and ')} of its own, which do not train with it (tokens were added before): it cannot be trained further.`,
    {
      place: { file, key: 'lora.init_adapter' },
      fix: 'Merge it into its base first, and train on the merged model.',
    },
  );
}

const same = (a: readonly string[], b: readonly string[] | null) => a.join('\0') === b?.join('\0');

/** A head that goes on must tell apart what it did. */
function checkContinued(num_labels: number | null, wanted: number, file: string): void {
  if (num_labels === null || num_labels === wanted) return;
  throw new LoraError(
    'adapter',
    `The adapter tells ${num_labels} labels apart, the dataset has ${wanted}.`,
    {
      place: { file, key: 'lora.init_adapter' },
      fix: 'Go on with rows of the same labels, or start a new adapter.',
    },
  );
}

/** What the head that the base comes with tells apart; null where it has none. */
export function labelNamesOf({
  spec,
  missing,
  config,
}: Pick<BaseModel, 'spec' | 'missing' | 'config'>): readonly string[] | null {
  const { id2label } = config;
  if (spec.head.kind !== 'labels' || missing.length > 0) return null;
  const count = spec.head.output.out_features;
  const named =
    typeof id2label === 'object' && id2label !== null
      ? (id2label as Readonly<Record<string, unknown>>)
      : {};
  const nameOf = (i: number): string => {
    const name = named[i];
    return typeof name === 'string' ? name : String(i);
  };
  return Array.from({ length: count }, (_, i) => nameOf(i));
}
