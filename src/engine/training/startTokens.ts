import { readWeight } from '../../formats/openBase';
import { tokenLayersOf } from '../../formats/peft/tokens';
import type { BaseModel } from '../../formats/baseModel';
import { isModuleToSave } from '../../lora/modulesToSave';
import { tokenConflict, tokenRowsOf, type TokenRows } from '../../lora/tokenRows';
import type { TargetableModule, TrainedTensor } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { LoraSettings } from '../../shared/recipe';

/**
 * The rows of tokens that a recipe trains.
 *
 * @param adapted The modules with LoRA.
 * @throws LoraError('recipe') where PEFT or the base do not have them
 */
export function plannedTokens(
  { spec, path: file }: Pick<BaseModel, 'spec' | 'path'>,
  lora: Pick<LoraSettings, 'trainable_token_indices' | 'modules_to_save'>,
  adapted: readonly Pick<TargetableModule, 'path'>[],
): readonly TokenRows[] {
  const { trainable_token_indices: indices, modules_to_save } = lora;
  if (indices === null) return [];
  const refuse = (message: string, fix: string) =>
    new LoraError('recipe', message, {
      place: { file, key: 'lora.trainable_token_indices' },
      fix,
    });
  const layers = tokenLayersOf(spec);
  if (!layers)
    throw refuse('The base reads no tokens, so none can be trained.', 'Remove this key.');
  const found = tokenRowsOf(indices, layers);
  if ('fault' in found) throw refuse(found.fault, 'Name tokens that the base has rows for.');
  const conflict = tokenConflict(
    found.layers,
    {
      adapted: adapted.map((own) => own.path),
      saved: [layers.embedding, layers.output ?? []]
        .flat()
        .filter((own) => isModuleToSave(own, modules_to_save)),
    },
    layers,
  );
  if (conflict !== null) throw refuse(conflict, 'Train the layer in one way only.');
  return found.layers;
}

/** The base's rows of tokens, which training starts from. */
export async function tokenTensors(
  base: BaseModel,
  tokens: readonly TokenRows[],
): Promise<readonly TrainedTensor[]> {
  const tensors: TrainedTensor[] = [];
  for (const { path, rows } of tokens) {
    const name = `${path}.weight`;
    const table = await readWeight(base, name);
    const width = base.spec.hidden_size;
    const data = new Float32Array(rows.length * width);
    rows.forEach((row, i) => data.set(table.subarray(row * width, (row + 1) * width), i * width));
    tensors.push({ name, shape: [rows.length, width], data, rows });
  }
  return tensors;
}
