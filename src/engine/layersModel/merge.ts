import { openLayersModel } from '../../formats/layersModel/file';
import { manifestMatrices, type ManifestMatrix } from '../../formats/layersModel/modules';
import { numbersOf, readLayersWeights, type WeightBytes } from '../../formats/layersModel/weights';
import { writeLayersModel } from '../../formats/layersModel/write';
import { areFinite } from '../../formats/checkFinite';
import { readAdapterLabels } from '../../formats/peft/task';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { mergedKernel } from '../../lora/kernelUpdate';
import { LoraError } from '../../shared/errors';
import { checkOutput } from '../outputPath';
import { headOfAdapter, lossOf } from './adapted';
import { withHead } from './head';
import type { LayersModelParts } from './load';
import { readLayersAdapter } from './train';

/** A merge of adapters into a layers model. */
export interface LayersMerge {
  readonly base: string;
  /** Merged in this order; only the last one may have an output layer. */
  readonly adapters: readonly string[];
  /** A new folder. */
  readonly output: string;
  /** Factor for the updates. */
  readonly scale: number;
  /** Null: 4 MiB, as tfjs' converter cuts shards. */
  readonly max_shard_size: number | null;
}

/** What a merge has done. */
export interface LayersMerged {
  /** Weights whose numbers changed. */
  readonly merged: readonly string[];
  /** Of these, the ones that were quantized in the base and are float32 now. */
  readonly dequantized: readonly string[];
  readonly bytes: number;
}

/**
 * Merges adapters into their layers model. Weights without an update keep their bytes; those with
 * one are float32.
 *
 * @throws LoraError; nothing is left half-written
 */
export async function mergeLayers(merge: LayersMerge): Promise<LayersMerged> {
  const { base, adapters, output, scale, max_shard_size } = merge;
  await checkOutput(output, [base, ...adapters]);
  const file = await openLayersModel(base);
  const before = await readLayersWeights(file);
  let parts: LayersModelParts = { file, weights: before };
  for (const [i, folder] of adapters.entries())
    parts = await withAdapter(parts, folder, { scale, isLast: i === adapters.length - 1 });
  const weights = [...parts.weights.values()];
  const merged = weights.filter((own) => before.get(own.weight.name) !== own);
  await writeLayersModel(output, parts.file, weights, max_shard_size ?? undefined);
  return {
    merged: merged.map(({ weight }) => weight.name),
    dequantized: merged.flatMap(({ weight: { name } }) =>
      before.get(name)?.weight.quantization ? [name] : [],
    ),
    bytes: weights.reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

/** The model with an adapter's updates and output layer. @throws LoraError('adapter') */
async function withAdapter(
  parts: LayersModelParts,
  folder: string,
  { scale, isLast }: { readonly scale: number; readonly isLast: boolean },
): Promise<LayersModelParts> {
  const adapter = await readLayersAdapter(folder);
  const matrices = manifestMatrices(parts.file);
  const weights = new Map(parts.weights);
  for (const module of adapter.modules) {
    const { weight } = matrixOf(module, matrices, folder);
    const kernel = numbersOf(weights.get(weight.name)!);
    const data = mergedKernel(kernel, { ...module, scaling: module.scaling * scale });
    if (!areFinite(data))
      throw new LoraError('adapter', `The merged weight ${weight.name} is not finite.`, {
        place: { file: folder, tensor: module.path },
        fix: 'Use a smaller scale (--scale), or an earlier checkpoint.',
      });
    weights.set(weight.name, float32(weight, data));
  }
  return withOwnHead({ ...parts, weights }, adapter, { folder, matrices, isLast });
}

const float32 = (
  { name, shape }: WeightBytes['weight'],
  { buffer }: Float32Array,
): WeightBytes => ({
  weight: { name, shape, dtype: 'float32' },
  bytes: new Uint8Array(buffer),
});

/** @throws LoraError('adapter') for a module that the model does not have, or of other sizes */
function matrixOf(
  { path, in_features, out_features }: LoraFactors,
  matrices: readonly ManifestMatrix[],
  file: string,
): ManifestMatrix {
  const found = matrices.find((own) => own.path === path);
  const fix = 'Use the model that the adapter was trained on.';
  const place = { file, tensor: path };
  if (!found)
    throw new LoraError('adapter', `The model has no weight for ${path}.`, { place, fix });
  if (found.in_features !== in_features || found.out_features !== out_features)
    throw new LoraError(
      'adapter',
      `The factors are for a kernel of ${in_features} x ${out_features}, but that of ${path} is ${found.in_features} x ${found.out_features}.`,
      { place, fix },
    );
  return found;
}

interface HeadPlace {
  readonly folder: string;
  readonly matrices: readonly ManifestMatrix[];
  readonly isLast: boolean;
}

async function withOwnHead(
  parts: LayersModelParts,
  adapter: Adapter,
  { folder, matrices, isLast }: HeadPlace,
): Promise<LayersModelParts> {
  if (adapter.trained.length === 0) return parts;
  const labels = await readAdapterLabels(folder);
  const refuse = (message: string, fix: string) =>
    new LoraError('adapter', message, { place: { file: folder }, fix });
  if (!isLast)
    throw refuse('Only the last adapter may have an output layer.', 'Give this one last.');
  if (!labels)
    throw refuse(
      'The adapter has an output layer, but no labels.json that says what it predicts.',
      'Copy the adapter again, all of its files.',
    );
  const head = headOfAdapter(adapter, lossOf(labels), folder)!;
  const kernel = matrices.find((own) => own.path === head.layer)?.weight.name;
  if (kernel === undefined)
    throw refuse(
      `The model has no layer ${head.layer}, whose place the adapter's output layer takes.`,
      'Use the model that the adapter was trained on.',
    );
  const names = { name: nameOfLayer(kernel), kernel, bias: kernel.replace(/kernel$/, 'bias') };
  return withHead(parts, names, head);
}

/** "model/dense_3/kernel" -> dense_3 */
const nameOfLayer = (weight: string): string => weight.split('/').at(-2) ?? weight;
