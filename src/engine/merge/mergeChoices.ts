import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder, refuseReplacements } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import { isPipelineBase } from '../../formats/diffusion/base';
import { readAdapters } from '../adapters/readAdapters';
import { baseOptionsOf } from '../model/openModel';
import type { MergeOptions } from './writeMerged';
import { openTarget } from './openTarget';
import { pipelineChoices } from './pipeline/pipelineChoices';
import { mergeSizes, type MergeChoice } from './sizes';

export type { MergeChoice };

/**
 * The usual ways to store the merged model. Nothing is written.
 * @throws LoraError when the adapters cannot be merged into the base.
 */
export async function mergeChoices(
  options: Pick<MergeOptions, 'base' | 'adapters' | 'partial' | 'warn'>,
): Promise<MergeChoice[]> {
  if (await isPipelineBase(options.base)) return pipelineChoices(options);
  const top = options.adapters.at(-1)!;
  const task = await readAdapterTask(top);
  const base = await openBaseUnder(options.base, top, baseOptionsOf(task));
  try {
    for (const folder of options.adapters.slice(0, -1)) {
      await refuseReplacements(folder, base);
    }
    const adapters = await readAdapters(options.adapters, base, options);
    const found: MergeChoice[] = [];
    for (const { form, dtype } of usualForms(base)) {
      const target = await openTarget(base, adapters, {
        output: form === 'gguf' ? 'merged.gguf' : 'merged',
        dtype,
        max_shard_size: null,
        labels: task.labels,
        top,
        retie: null,
      });
      try {
        found.push({ form, dtype, ...(await mergeSizes(base, target)) });
      } finally {
        await target.close();
      }
    }
    return found;
  } finally {
    await base.close();
  }
}

/** A .gguf file needs a .gguf base without added tokens. */
function usualForms({ format, replaced }: BaseModel): Pick<MergeChoice, 'form' | 'dtype'>[] {
  const folder = [
    { form: 'folder' as const, dtype: 'keep' as const },
    { form: 'folder' as const, dtype: 'float32' as const },
  ];
  if (format !== 'gguf' || replaced.size > 0) {
    return folder;
  }
  const dtypes = ['keep', 'q8_0', 'float32'] as const;
  return [...dtypes.map((dtype) => ({ form: 'gguf' as const, dtype })), ...folder];
}
