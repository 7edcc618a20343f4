import { frozenTables, layersWithoutEffect } from '../../../formats/architecture/frozenTables';
import type { BaseModel } from '../../../formats/baseModel';
import { isModuleToSave } from '../../../lora/modulesToSave';
import { matchTargets, type TargetSettings } from '../../../lora/targets';
import { LoraError } from '../../../shared/errors';

/**
 * The layers that target_modules selects in PEFT, but that get no update here because nothing that
 * is trained depends on them.
 *
 * @param saved What modules_to_save lists; such modules are trained in full.
 * @throws LoraError('recipe') naming an embedding layer that PEFT would adapt and LoRA here cannot.
 */
export function targetsLeftOut(
  { spec, path: file }: Pick<BaseModel, 'spec' | 'path'>,
  targets: TargetSettings,
  saved: readonly string[] | null,
): readonly string[] {
  const isFree = ({ path }: { readonly path: string }) => !isModuleToSave(path, saved);
  const [table] = matchTargets(frozenTables(spec).filter(isFree), targets).matched;
  if (table)
    throw new LoraError(
      'recipe',
      `target_modules includes ${table.path}, an embedding layer on which LoRA is not supported.`,
      {
        place: { file, key: 'lora.target_modules' },
        fix: 'Leave it out of target_modules, or list it in exclude_modules.',
      },
    );
  return matchTargets(layersWithoutEffect(spec).filter(isFree), targets).matched.map((m) => m.path);
}
