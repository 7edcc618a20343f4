import type {
  DeltaSize,
  MixtureSize,
  ModelSize,
  QuantizedSize,
  VisionSize,
} from '../../lora/modelSize';
import type { Quantize } from '../../shared/trainingSettings';
import { canQuantize, formsWhileLoading } from '../quantized/whileLoading';
import { elementsOf, type TensorInfo } from '../tensorInfo';
import type { StoredMatrix, WeightSource } from '../weightSource';
import { innerSizeOf, tensorsOf, tiedWeight, towersOf, visionTensors } from './modules';
import { imageLengthOf } from './positions';
import type { AttentionSpec, Spec } from './spec';
import { visionParameters } from './visionTensors';
import type { VisionSpec } from './spec';

/** The shapes of weights, and which of them are in blocks. */
export interface SizedWeights extends Pick<WeightSource, 'tensors'> {
  blocksOf?(name: string): Pick<StoredMatrix, 'row_bytes'> | null;
}

/**
 * The sizes of a model that its memory use depends on.
 *
 * @param trained Names of tensors that train themselves, wholly or in part.
 */
export function modelSize(
  {
    spec,
    parameters,
    weights,
  }: {
    readonly spec: Spec;
    readonly parameters: number;
    readonly weights?: SizedWeights;
  },
  trained: readonly string[] = [],
): ModelSize {
  const { attention, mlp } = spec.layers[0]!;
  const stored = weights ? quantizedSize(spec, weights, trained) : null;
  return {
    parameters,
    ...(stored ?? { quantized_bytes: null, ...quantizableSize(spec) }),
    hidden_size: spec.hidden_size,
    num_layers: spec.num_layers,
    num_heads: attention.num_heads,
    q_size: attention.num_heads * attention.head_dim,
    kv_size: attention.num_kv_heads * attention.head_dim,
    ...(attention.qk_norm && { norms_heads: true }),
    inner_size: Math.max(...spec.layers.map((layer) => innerSizeOf(layer.mlp))),
    gated: mlp.kind !== 'plain',
    causal: spec.causal,
    delta: deltaSize(spec),
    scores_rows: spec.layers.some((layer) => scoresRows(layer.attention)),
    outputs: outputsOf(spec),
    ...mixtureSize(spec),
    ...(spec.head.kind === 'contrastive' && { images: imagesSize(spec.head.images) }),
    ...(spec.source && { encoder: modelSize({ spec: spec.source.encoder, parameters: 0 }) }),
    ...(spec.vision && { vision: visionSize(spec.vision, spec.hidden_size) }),
  };
}

function mixtureSize({ layers }: Spec): { readonly mixture?: MixtureSize } {
  for (const { mlp } of layers) {
    if (mlp.kind !== 'mixture') continue;
    const { top_k, experts } = mlp;
    const routed = top_k * experts[0]!.down.out_features;
    return { mixture: { experts: experts.length, top_k, routed } };
  }
  return {};
}

function deltaSize({ layers }: Spec): DeltaSize | null {
  const own = layers.flatMap(({ attention }) => attention.delta ?? []);
  const [delta] = own;
  if (!delta) return null;
  const { value_heads: heads, key_dim, value_dim, convolution } = delta;
  const values = heads * value_dim;
  return {
    layers: own.length,
    inputs: convolution.channels + values + 2 * heads,
    channels: convolution.channels,
    keys: heads * key_dim,
    values,
    heads,
    state: heads * key_dim * value_dim,
  };
}

const outputsOf = ({ head, hidden_size }: Spec): number =>
  head.kind === 'lm' || head.kind === 'labels' ? head.output.out_features : hidden_size;

function imagesSize(spec: Spec): ModelSize['images'] {
  if (spec.embedding.kind !== 'patches') return undefined;
  const size = modelSize({ spec, parameters: 0 });
  return { size, length: imageLengthOf(spec.embedding) };
}

function visionSize(vision: VisionSpec, hidden_size: number): VisionSize {
  const { path, merge, patch, patches, tower, deepstack } = vision;
  return {
    path,
    blocks: blocksOf(tower),
    convolution: patches.path,
    patches: merge ** 2,
    size: { ...modelSize({ spec: tower, parameters: visionParameters(vision) }), outputs: 0 },
    kept: (1 + deepstack.length) * hidden_size,
    pixels: patch ** 2,
    samples: patches.in_features,
    mergers: 1 + deepstack.length,
  };
}

/** What the name of a module of the first layer has before its number. */
const blocksOf = ({ layers }: Spec): string =>
  layers[0]!.attention.o.path.replace(/\.\d+\..*$/, '');

/** As `seenKeys` of src/models/attention decides it where the processor computes. */
const scoresRows = ({ score_bias, distances }: AttentionSpec): boolean =>
  score_bias !== undefined || distances !== undefined;

/** The numbers of a model whose weights are not there yet. */
export function parametersOf(spec: Spec): number {
  const { body, head } = tensorsOf(spec);
  const ofVision = spec.vision ? visionParameters(spec.vision) : 0;
  return [...body, ...head].reduce((sum, { shape }) => sum + elementsOf(shape), ofVision);
}

/** The sizes that a base can be quantized to while it is loaded. */
function quantizableSize(spec: Spec): Pick<ModelSize, 'quantizable'> {
  if (!canQuantize(spec)) return {};
  const { body, head } = tensorsOf(spec);
  const ofVision = spec.vision ? visionTensors(spec.vision) : [];
  const wanted = [...body, ...head, ...ofVision].map((own): [string, TensorInfo] => [
    own.name,
    { ...own, dtype: 'F32' },
  ]);
  const sizeAs = (kind: Quantize): QuantizedSize => {
    const forms = formsWhileLoading(spec, kind);
    const blocksOf = (name: string) => forms.get(name) ?? null;
    const size = quantizedSize(spec, { tensors: new Map(wanted), blocksOf }, []);
    return size ?? { quantized_bytes: null };
  };
  return { quantizable: { nf4: sizeAs('nf4'), int8: sizeAs('int8') } };
}

/** The weights with quantized ones in their blocks; null if none is quantized. */
function quantizedSize(
  spec: Spec,
  weights: SizedWeights,
  trained: readonly string[],
): QuantizedSize | null {
  const ownBlocks = (name: string) =>
    trained.includes(name) ? null : (weights.blocksOf?.(name) ?? null);
  const whole = new Set(
    productsOf(spec)
      .filter((names) => !names.every(ownBlocks))
      .flat(),
  );
  let isQuantized = false;
  let [quantized_bytes, dense_numbers] = [0, 0];
  for (const { name, shape } of weights.tensors.values()) {
    const blocks = whole.has(name) ? null : ownBlocks(name);
    isQuantized ||= blocks !== null;
    if (blocks) quantized_bytes += shape[0]! * wholeWords(blocks.row_bytes);
    else if (shape.length === 2 && !trained.includes(name)) dense_numbers += elementsOf(shape);
    else quantized_bytes += 4 * elementsOf(shape);
  }
  if (!isQuantized) return null;
  const head = headWeight(spec);
  const dense_head = head !== null && ownBlocks(head) === null;
  return { quantized_bytes, dense_numbers, dense_head };
}

/** The output layer's weight, which may be the embedding's; null: of a model without one. */
function headWeight(spec: Spec): string | null {
  const { head } = spec;
  if (head.kind !== 'lm' && head.kind !== 'labels') return null;
  return tiedWeight(spec)?.storedAs ?? `${head.output.path}.weight`;
}

/** The weights that one product has together: it is kept in blocks only if each of them is. */
const productsOf = (spec: Spec): string[][] =>
  towersOf(spec)
    .flatMap(({ layers }) => layers)
    .map(({ attention }) => attention.qkv.map(({ path }) => `${path}.weight`));

const wholeWords = (bytes: number): number => 4 * Math.ceil(bytes / 4);
