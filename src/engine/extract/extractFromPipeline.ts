import { throwIfCancelled } from '../../common/cancellation';
import {
  openPipelineBase,
  type PipelineBase,
  type PipelineTensor,
} from '../../formats/diffusion/base';
import { PIPELINE_NAMES } from '../../formats/diffusion/kinds';
import { slotsOf, type Slot } from '../../formats/diffusion/slots';
import { writeDiffusersAdapter, writeKohyaScriptsAdapter } from '../../formats/diffusion/write';
import { peftAdapter } from '../../formats/importedAdapter';
import { namesInShort } from '../../formats/peft/againstBase';
import { extractLayer, type ExtractedLayer } from '../../lora/extract';
import type { TargetableModule } from '../../lora/adapter';
import { transposedMatrix } from '../../lora/rowUpdates';
import { matchTargets } from '../../lora/targets';
import { LoraError } from '../../shared/errors';
import { sourceTensor } from '../merge/source';
import type { LeftOut } from './difference';
import type { Extracted, ExtractOptions } from './extraction';
import { otherPipelineTensors } from './otherPipelineTensors';

/** A weight that both models have. */
interface Pair {
  readonly path: string;
  readonly base: Slot;
  readonly tuned: Slot;
}

/**
 * Writes the adapter that best approximates the difference between two image pipelines: a file of
 * kohya's scripts for single files, of Diffusers for folders.
 *
 * @throws LoraError when the models do not match, do not differ, or the output is not
 *   named as a .safetensors file.
 */
export async function extractFromPipeline(options: ExtractOptions): Promise<Extracted> {
  const { output } = options;
  if (!output.endsWith('.safetensors'))
    throw new LoraError('usage', 'An adapter of an image model is written as a file.', {
      place: { file: output },
      fix: 'Name an output that ends with .safetensors.',
    });
  const base = await openPipelineBase(options.base);
  try {
    const tuned = await openPipelineBase(options.tuned);
    try {
      return await extract(base, tuned, options);
    } finally {
      await tuned.close();
    }
  } finally {
    await base.close();
  }
}

async function extract(
  base: PipelineBase,
  tuned: PipelineBase,
  { target, target_modules, output, signal, onProgress }: ExtractOptions,
): Promise<Extracted> {
  const pairs = pairsOf(base, tuned);
  const chosen = chosenOf(pairs, target_modules, base.path);
  const layers: ExtractedLayer[] = [];
  const left_out: LeftOut[] = [];
  for (const [n, pair] of pairs.entries()) {
    throwIfCancelled(signal);
    const data = await differenceOf(pair);
    if (chosen.has(pair.path)) {
      const layer = extractLayer({ ...moduleOf(pair), transposed: false, data }, target);
      if (layer) layers.push(withKernel(layer, kernelOf(pair.base)));
    } else {
      const norm = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
      if (norm > 0) left_out.push({ name: pair.path, norm });
    }
    onProgress((n + 1) / pairs.length);
    await new Promise(setImmediate); // lets an abort signal arrive between two layers
  }
  const compared = new Set(pairs.flatMap((pair) => [pair.base.tensor, pair.tuned.tensor]));
  const isCompared = (tensor: PipelineTensor) => compared.has(tensor);
  left_out.push(...(await otherPipelineTensors(base, tuned, isCompared, signal)));
  left_out.sort((a, b) => (b.norm ?? Infinity) - (a.norm ?? Infinity));
  if (layers.length === 0) throw nothingToExtract(tuned, left_out);
  const adapter = peftAdapter(
    layers.map((layer) => layer.factors),
    null,
  );
  await (base.is_folder
    ? writeDiffusersAdapter(output, adapter)
    : writeKohyaScriptsAdapter(output, adapter, base.kind));
  return factsOf(layers, left_out);
}

function factsOf(layers: readonly ExtractedLayer[], left_out: readonly LeftOut[]): Extracted {
  const total = (of: (layer: ExtractedLayer) => number) =>
    layers.reduce((sum, layer) => sum + of(layer) ** 2, 0);
  return {
    modules: layers.map(({ factors, lost, norm }) => ({
      path: factors.path,
      r: factors.r,
      error: lost / norm,
    })),
    error: Math.sqrt(total((layer) => layer.lost) / total((layer) => layer.norm)),
    left_out,
    settings: [],
  };
}

/** The weights of both models, in the order of the base. */
function pairsOf(base: PipelineBase, tuned: PipelineBase): Pair[] {
  const fix = 'Name the model from which the tuned one was trained with --base.';
  if (base.kind !== tuned.kind)
    throw new LoraError(
      'base',
      `The models are of different kinds, ${PIPELINE_NAMES[base.kind]} and ${PIPELINE_NAMES[tuned.kind]}.`,
      { place: { file: tuned.path }, fix },
    );
  const others = slotsOf(tuned);
  const pairs: Pair[] = [];
  for (const [path, own] of slotsOf(base)) {
    const other = others.get(path);
    if (!other) continue;
    if (shapeText(own) !== shapeText(other))
      throw new LoraError(
        'base',
        `The layer is ${shapeText(other)} in the tuned model, ${shapeText(own)} in the base.`,
        { place: { file: tuned.path, tensor: other.tensor.name }, fix },
      );
    pairs.push({ path, base: own, tuned: other });
  }
  return pairs;
}

const shapeText = ({ rows, columns }: Slot): string => `${rows} x ${columns}`;

function kernelOf({ tensor }: Slot): readonly [number, number] | undefined {
  const { shape } = tensor.info;
  return shape.length === 4 ? [shape[2]!, shape[3]!] : undefined;
}

/** A module for the choice of targets: a convolution of 1 x 1 is linear there. */
function moduleOf({ path, base }: Pair): TargetableModule {
  const kernel = kernelOf(base);
  const kind = kernel && kernel[0] * kernel[1] > 1 ? 'conv2d' : 'linear';
  return { path, kind, in_features: base.columns, out_features: base.rows, is_output: false };
}

function withKernel(layer: ExtractedLayer, kernel: ReturnType<typeof kernelOf>): ExtractedLayer {
  if (!kernel) return layer;
  return { ...layer, factors: { ...layer.factors, kind: 'conv2d', kernel } };
}

function chosenOf(
  pairs: readonly Pair[],
  target_modules: string | readonly string[],
  file: string,
): ReadonlySet<string> {
  const { matched, unmatched } = matchTargets(pairs.map(moduleOf), { target_modules });
  const [unknown] = unmatched;
  if (unknown || matched.length === 0)
    throw new LoraError(
      'usage',
      unknown
        ? `There is no module ${unknown.name}${unknown.nearest === undefined ? '.' : `; did you mean ${unknown.nearest}?`}`
        : 'target_modules selects no layer.',
      { place: { file } },
    );
  return new Set(matched.map((m) => m.path));
}

/** @throws LoraError('base') when an element is not finite. */
async function differenceOf({ base, tuned }: Pair): Promise<Float32Array> {
  const [before, after] = [await rowsOf(base), await rowsOf(tuned)];
  for (let i = 0; i < after.length; i++) after[i]! -= before[i]!;
  const at = after.findIndex((x) => !Number.isFinite(x));
  if (at < 0) return after;
  const { name, source } = (Number.isFinite(before[at]!) ? tuned : base).tensor;
  throw new LoraError('base', `Element ${at} is not finite, or the models differ by too much.`, {
    place: { file: source.file, tensor: name },
    fix: 'Download the model again.',
  });
}

/** The rows of a module in Diffusers' order. */
async function rowsOf(slot: Slot): Promise<Float32Array> {
  const { tensor, first, rows, columns } = slot;
  const { read } = sourceTensor(tensor.source, tensor.name);
  const values = await read(first * columns, rows * columns);
  if (tensor.is_transposed) return transposedMatrix(values, rows);
  if (tensor.module!.rows !== 'swapped') return values;
  const half = values.length / 2;
  const swapped = new Float32Array(values.length);
  swapped.set(values.subarray(half));
  swapped.set(values.subarray(0, half), half);
  return swapped;
}

function nothingToExtract(tuned: PipelineBase, left: readonly LeftOut[]): LoraError {
  const names = namesInShort(left.map(({ name }) => name));
  const problem =
    left.length === 0
      ? 'The weights of the two models are the same: there is nothing to extract.'
      : `None of the targeted layers differs. What differs is ${names}.`;
  return new LoraError('base', problem, {
    place: { file: tuned.path },
    fix: 'Choose the model before fine-tuning (--base), and the one after it (--tuned).',
  });
}
