import { clearUnfinished } from '../../../common/unfinished';
import { openPipelineBase, type PipelineBase } from '../../../formats/diffusion/base';
import type { PipelineKind } from '../../../formats/diffusion/kinds';
import { LoraError } from '../../../shared/errors';
import { checkOutput } from '../../outputPath';
import type { Certificate } from '../certificate';
import { writeMerged, type MergeOptions } from '../writeMerged';
import { compareWeights } from './compareWeights';
import { readUpdates } from './readUpdates';
import { openPipelineTarget } from './target';
import { placeUpdates, type AdapterUpdates, type PlacedUpdates } from './updates';

/**
 * Writes W + dW as an image pipeline of its own, a .safetensors file or a folder of Diffusers, with
 * its certificate. The output appears only when it is complete.
 *
 * @throws LoraError when the adapters cannot be merged into the base, the output exists, the disk
 * is full, or the job is cancelled.
 */
export async function mergePipeline(options: MergeOptions): Promise<Certificate> {
  const { base: basePath, adapters: folders, output, dtype, max_shard_size } = options;
  if (max_shard_size !== null)
    throw new LoraError('usage', 'The files of an image model stay those of its base.', {
      place: { file: basePath },
      fix: 'Leave the size of shards out (--max-shard-size).',
    });
  await checkOutput(output, [basePath, ...folders]);
  await clearUnfinished(output);
  return withPlacedUpdates(options, async (base, { adapters, placed }) => {
    const target = openPipelineTarget(base, placed, { output, dtype });
    const weight_files = base.files.map(({ file }) => file);
    return writeMerged(target, { path: base.path, hub: null, weight_files }, options, {
      formula: formulaOf(adapters),
      kernel: isLarge(placed) ? ((await options.kernel?.()) ?? null) : null,
      compare: async (modelPath) => ({
        parity: null,
        weights: await compareWeights(base, placed, modelPath, {
          signal: options.signal,
          onProgress: (fraction) => options.onProgress('comparing', fraction),
        }),
      }),
    });
  });
}

/** Terms of products that JavaScript adds in about a second: loading a kernel takes as long. */
const LARGE = 1e9;

/** Whether a merge is so large that a kernel is worth loading. */
function isLarge(placed: PlacedUpdates): boolean {
  let terms = 0;
  for (const updates of placed.values())
    for (const { update } of updates)
      terms += update.in_features * update.out_features * (update.product?.r ?? 0);
  return terms > LARGE;
}

/** Adapters and the rows of the base that they change. */
export interface PlacedAdapters {
  readonly adapters: readonly AdapterUpdates[];
  readonly placed: PlacedUpdates;
}

/**
 * Opens an image pipeline, finds what adapters change in it, and closes it after `use`.
 *
 * @throws LoraError when the adapters do not fit, or cannot be merged together.
 */
export async function withPlacedUpdates<T>(
  {
    base: place,
    adapters: folders,
    partial,
    scale,
    warn,
  }: Pick<MergeOptions, 'base' | 'adapters' | 'partial' | 'scale' | 'warn'>,
  use: (base: PipelineBase, placed: PlacedAdapters) => Promise<T>,
): Promise<T> {
  const base = await openPipelineBase(place);
  try {
    const adapters: AdapterUpdates[] = [];
    for (const folder of folders) adapters.push(await readUpdates(folder, { scale, warn }));
    refuseDoraBeside(adapters, scale);
    const placed = placeUpdates(base, adapters, { partial: partial === true, warn });
    return await use(base, { adapters, placed });
  } finally {
    await base.close();
  }
}

const hasDora = ({ updates }: AdapterUpdates): boolean =>
  updates.some(({ update }) => update.magnitude !== null);

function refuseDoraBeside(adapters: readonly AdapterUpdates[], scale: number): void {
  const dora = adapters.find(hasDora);
  if (!dora) return;
  const place = { file: dora.file };
  if (adapters.length > 1)
    throw new LoraError(
      'adapter',
      'A DoRA adapter also scales the weights below it, so it can only be merged alone.',
      { place, fix: 'Merge the others first, then this one if it was trained on the result.' },
    );
  if (scale !== 1)
    throw new LoraError('usage', 'The magnitudes of DoRA cannot be scaled.', {
      place,
      fix: 'Leave out the scale (--scale).',
    });
}

function formulaOf(adapters: readonly AdapterUpdates[]): string {
  if (adapters.some(hasDora)) return "W' = m / ‖W + dW‖ · (W + dW)";
  return adapters.length > 1 ? "W' = W + Σ dW" : "W' = W + dW";
}

/**
 * Checks that an adapter fits an image model; returns the kind of that.
 *
 * @throws LoraError('adapter') naming the first module that does not fit.
 */
export const checkAgainstPipeline = (
  adapter: string,
  base: string,
  partial = false,
): Promise<PipelineKind> =>
  withPlacedUpdates(
    { base, adapters: [adapter], partial, scale: 1, warn: () => undefined },
    ({ kind }) => Promise.resolve(kind),
  );
