import type { LoraFactors } from '../../lora/adapter';
import { pipelineModule } from './names';

/** The kinds of image pipelines that are distinguished. */
export type PipelineKind = 'sd' | 'sdxl' | 'flux';

/** Their names, for messages. */
export const PIPELINE_NAMES: Readonly<Record<PipelineKind, string>> = {
  sd: 'Stable Diffusion 1',
  sdxl: 'SDXL',
  flux: 'Flux',
};

/** What only SDXL has: deeper attention, a second encoder of CLIP, sizes as conditions. */
const OF_SDXL =
  /^unet\.(?:.*\.transformer_blocks\.[1-9]|add_embedding\.)|^text_encoder_2\.text_(?:model\.|projection$)/;

/** The kind of a pipeline with these modules, by their paths in Diffusers. */
export function pipelineKindOf(paths: readonly string[]): PipelineKind {
  if (paths.some((path) => path.startsWith('transformer.'))) return 'flux';
  return paths.some((path) => OF_SDXL.test(path)) ? 'sdxl' : 'sd';
}

/** Width of the texts that attention sees, in SDXL. */
const SDXL_CONTEXT = 2048;

/** The kind of pipeline that an adapter is of; null: modules that are not known. */
export function adapterKindOf(
  modules: readonly Pick<LoraFactors, 'path' | 'in_features'>[],
): PipelineKind | null {
  const paths: string[] = [];
  for (const { path, in_features } of modules) {
    const known = pipelineModule(path);
    if (!known) return null;
    paths.push(...known.paths);
    const isContext = /\.attn2\.to_[kv]$/.test(known.paths[0]!);
    if (isContext && in_features === SDXL_CONTEXT) return 'sdxl';
  }
  return paths.length === 0 ? null : pipelineKindOf(paths);
}
