import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { openFolderTarget } from './folderTarget';
import { openGgufTarget } from './ggufTarget';
import type { MergeTarget, TargetOptions } from './target';

/**
 * A .gguf file if the output ends with .gguf, otherwise a model folder. The caller closes it.
 * @throws LoraError when the base and the adapters cannot become such a model.
 */
export function openTarget(
  base: BaseModel,
  adapters: readonly Adapter[],
  options: TargetOptions,
): Promise<MergeTarget> {
  const open = options.output.endsWith('.gguf') ? openGgufTarget : openFolderTarget;
  return open(base, adapters, options);
}
