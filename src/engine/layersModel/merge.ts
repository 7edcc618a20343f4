import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hashFile } from '../../common/hashFile';
import { openLayersModel } from '../../formats/layersModel/file';
import { manifestKernels } from '../../formats/layersModel/kernels';
import { manifestMatrices, type ManifestMatrix } from '../../formats/layersModel/modules';
import { numbersOf, readLayersWeights, type WeightBytes } from '../../formats/layersModel/weights';
import { writeLayersModel } from '../../formats/layersModel/write';
import { areFinite } from '../../formats/checkFinite';
import { readAdapterLabels } from '../../formats/peft/task';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { mergedKernel } from '../../lora/kernelUpdate';
import { LoraError } from '../../shared/errors';
import { CERTIFICATE, mergeWarnings, placeIn, type Certificate } from '../merge/certificate';
import { hashInputs } from '../merge/hashInputs';
import type { MergeChoice } from '../merge/sizes';
import type { TensorFacts } from '../merge/roundingFacts';
import { checkOutput } from '../outputPath';
import type { RuntimeContext } from '../useRuntime';
import { headOfAdapter, lossOf } from './adapted';
import { withHead } from './head';
import type { LayersModelParts } from './load';
import { layersSizes, layersTensorFacts, type WeightMap } from './mergeFacts';
import { layersParity } from './mergeParity';
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
export interface LayersMerged extends Pick<
  Certificate,
  'sizes' | 'tensors' | 'parity' | 'warnings'
> {
  /** Weights whose numbers changed. */
  readonly merged: readonly string[];
  /** Of these, the ones that were quantized in the base and are float32 now. */
  readonly dequantized: readonly string[];
  readonly bytes: number;
}

/** What a merge needs to run the models; null: they are not compared. */
export interface LayersMergeContext {
  readonly runtime: RuntimeContext | null;
  readonly signal: AbortSignal;
}

/** A model with the updates of its adapters. */
interface MergedLayers {
  readonly before: WeightMap;
  readonly after: WeightMap;
  readonly parts: LayersModelParts;
  readonly updates: Updates;
}

/** What was added to weights, by their names. */
type Updates = Map<string, Float32Array>;

async function mergedLayers({
  base,
  adapters,
  scale,
}: Pick<LayersMerge, 'base' | 'adapters' | 'scale'>): Promise<MergedLayers> {
  const file = await openLayersModel(base);
  const before = await readLayersWeights(file);
  const updates: Updates = new Map();
  let parts: LayersModelParts = { file, weights: before };
  for (const [i, folder] of adapters.entries()) {
    const isLast = i === adapters.length - 1;
    parts = await withAdapter(parts, folder, { scale, isLast, updates });
  }
  return { before, after: parts.weights, parts, updates };
}

/** The size of the merged model. @throws LoraError */
export async function layersChoice(
  merge: Pick<LayersMerge, 'base' | 'adapters'>,
): Promise<MergeChoice> {
  const { before, after } = await mergedLayers({ ...merge, scale: 1 });
  return { form: 'folder', dtype: 'keep', ...layersSizes(before, after) };
}

/**
 * Merges adapters into their layers model. Weights without an update keep their bytes; those with
 * one are float32. merge.json beside them says how they were made, and how far the outputs are from
 * those of base + adapter where there is one adapter and its scale is 1.
 *
 * @throws LoraError; nothing is left half-written
 */
export async function mergeLayers(
  merge: LayersMerge,
  { runtime, signal }: LayersMergeContext,
): Promise<LayersMerged> {
  const { base, adapters, output, scale, max_shard_size } = merge;
  await checkOutput(output, [base, ...adapters]);
  const { before, after, parts, updates } = await mergedLayers(merge);
  const changed = [...after.values()].filter((own) => before.get(own.weight.name) !== own);
  const tensors = changed.flatMap((own) => factsOf(own, before, updates));
  const facts = { sizes: layersSizes(before, after), tensors, warnings: mergeWarnings(tensors) };
  const [adapter, ...others] = adapters;
  const isPlain = runtime !== null && adapter !== undefined && others.length === 0 && scale === 1;
  let parity: Certificate['parity'] = null;
  await writeLayersModel(output, parts.file, [...after.values()], {
    ...(max_shard_size !== null && { shardBytes: max_shard_size }),
    finish: async (folder, files) => {
      if (isPlain) parity = await layersParity({ base, adapter }, folder, runtime);
      const certificate = await certificateOf(
        merge,
        { ...facts, parity },
        { folder, files, signal },
      );
      const json = `${JSON.stringify(certificate, null, 2)}\n`;
      await writeFile(path.join(folder, CERTIFICATE), json, { flush: true });
    },
  });
  return {
    ...facts,
    parity,
    merged: changed.map(({ weight }) => weight.name),
    dequantized: changed.flatMap(({ weight: { name } }) =>
      before.get(name)?.weight.quantization ? [name] : [],
    ),
    bytes: facts.sizes.bytes,
  };
}

/** None of an output layer, which replaces that of the base. */
function factsOf(after: WeightBytes, before: WeightMap, updates: Updates): TensorFacts[] {
  const { name } = after.weight;
  const [own, update] = [before.get(name), updates.get(name)];
  return own && update ? [layersTensorFacts(own, after, update)] : [];
}

interface WrittenFiles {
  readonly folder: string;
  readonly files: readonly string[];
  readonly signal: AbortSignal;
}

async function certificateOf(
  { base, adapters, output, scale }: LayersMerge,
  facts: Pick<Certificate, 'sizes' | 'tensors' | 'parity' | 'warnings'>,
  { folder, files, signal }: WrittenFiles,
): Promise<Certificate> {
  const { path: file, groups } = await openLayersModel(base);
  const weight_files = [file, ...groups.flatMap(({ shards }) => shards)];
  const place = path.resolve(output);
  const inputs = await hashInputs({ weight_files }, adapters, {
    signal,
    onProgress: () => undefined,
  });
  const outputs = [];
  for (const name of files)
    outputs.push({ file: name, sha256: await hashFile(path.join(folder, name)) });
  return {
    version: 1,
    created: new Date().toISOString(),
    formula: 'W + s·(BA)ᵀ',
    scale,
    partial: false,
    dtype: 'keep',
    base: placeIn(place, file),
    adapters: adapters.map((own) => placeIn(place, own)),
    inputs: inputs.map((own) => ({ ...own, file: placeIn(place, own.file) })),
    outputs,
    untied: false,
    ...facts,
  };
}

/** How an adapter is merged; adds what changes to the updates. */
interface AdapterUse {
  readonly scale: number;
  readonly isLast: boolean;
  readonly updates: Updates;
}

const sumOf = (earlier: Float32Array | undefined, added: Float32Array): Float32Array =>
  earlier ? added.map((value, i) => value + earlier[i]!) : added;

/** The model with an adapter's updates and output layer. @throws LoraError('adapter') */
async function withAdapter(
  parts: LayersModelParts,
  folder: string,
  { scale, isLast, updates }: AdapterUse,
): Promise<LayersModelParts> {
  const adapter = await readLayersAdapter(folder);
  const matrices = manifestMatrices(parts.file);
  const weights = new Map(parts.weights);
  for (const module of adapter.modules) {
    const { weight } = matrixOf(module, matrices, folder);
    const kernel = numbersOf(weights.get(weight.name)!);
    const scaled = { ...module, scaling: module.scaling * scale };
    const data = mergedKernel(kernel, scaled);
    if (!areFinite(data))
      throw new LoraError('adapter', `The merged weight ${weight.name} is not finite.`, {
        place: { file: folder, tensor: module.path },
        fix: 'Use a smaller scale (--scale), or an earlier checkpoint.',
      });
    weights.set(weight.name, float32(weight, data));
    const added = mergedKernel(new Float32Array(kernel.length), scaled);
    updates.set(weight.name, sumOf(updates.get(weight.name), added));
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
  const layer = manifestKernels(parts.file).find((own) => own.path === head.layer)?.layer;
  if (kernel === undefined || layer === undefined)
    throw refuse(
      `The model has no layer ${head.layer}, whose place the adapter's output layer takes.`,
      'Use the model that the adapter was trained on.',
    );
  const names = { name: layer, kernel, bias: kernel.replace(/kernel$/, 'bias') };
  return withHead(parts, names, head);
}
