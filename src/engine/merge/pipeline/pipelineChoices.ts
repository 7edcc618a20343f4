import { mergeSizes, type MergeChoice } from '../sizes';
import type { MergeOptions } from '../writeMerged';
import { withPlacedUpdates } from './mergePipeline';
import { openPipelineTarget } from './target';

/**
 * The usual ways to store a merged image pipeline. Nothing is written.
 *
 * @throws LoraError when the adapters cannot be merged into the base.
 */
export const pipelineChoices = (
  options: Pick<MergeOptions, 'base' | 'adapters' | 'partial' | 'warn'>,
): Promise<MergeChoice[]> =>
  withPlacedUpdates({ ...options, scale: 1 }, async (base, { placed }) => {
    const form = base.is_folder ? 'folder' : 'safetensors';
    const output = base.is_folder ? 'merged' : 'merged.safetensors';
    const weight_files = base.files.map(({ file }) => file);
    const found: MergeChoice[] = [];
    for (const dtype of ['keep', 'float32'] as const) {
      const target = openPipelineTarget(base, placed, { output, dtype });
      found.push({ form, dtype, ...(await mergeSizes({ weight_files }, target)) });
    }
    return found;
  });
