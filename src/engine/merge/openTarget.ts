import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { openFolderTarget } from './folderTarget';
import { openGgufTarget } from './ggufTarget';
import type { MergeTarget, TargetOptions } from './target';

/** By the output's ending. Errors: LoraError. */
export const openTarget = (
  base: BaseModel,
  adapters: readonly Adapter[],
  options: TargetOptions,
): Promise<MergeTarget> =>
  (options.output.endsWith('.gguf') ? openGgufTarget : openFolderTarget)(base, adapters, options);
