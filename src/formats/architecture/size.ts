import type { ModelSize } from '../../lora/memory';
import { elementsOf } from '../tensorInfo';
import type { StoredMatrix, WeightSource } from '../weightSource';
import { innerSizeOf, tensorsOf } from './modules';
import type { Spec } from './spec';

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
  return {
    parameters,
    quantized_bytes: weights ? quantizedBytes(spec, weights, trained) : null,
    hidden_size: spec.hidden_size,
    num_layers: spec.num_layers,
    num_heads: attention.num_heads,
    q_size: attention.num_heads * attention.head_dim,
    kv_size: attention.num_kv_heads * attention.head_dim,
    inner_size: Math.max(...spec.layers.map((layer) => innerSizeOf(layer.mlp))),
    gated: mlp.kind !== 'plain',
    causal: spec.causal,
    outputs: spec.head.kind === 'pooled' ? spec.hidden_size : spec.head.output.out_features,
  };
}

/** The numbers of a model whose weights are not there yet. */
export function parametersOf(spec: Spec): number {
  const { body, head } = tensorsOf(spec);
  return [...body, ...head].reduce((sum, { shape }) => sum + elementsOf(shape), 0);
}

/** Bytes of the weights with quantized ones in their blocks; null if none is quantized. */
function quantizedBytes(
  spec: Spec,
  weights: SizedWeights,
  trained: readonly string[],
): number | null {
  const ownBlocks = (name: string) =>
    trained.includes(name) ? null : (weights.blocksOf?.(name) ?? null);
  const whole = new Set(
    productsOf(spec)
      .filter((names) => !names.every(ownBlocks))
      .flat(),
  );
  let isQuantized = false;
  let bytes = 0;
  for (const { name, shape } of weights.tensors.values()) {
    const blocks = whole.has(name) ? null : ownBlocks(name);
    isQuantized ||= blocks !== null;
    bytes += blocks ? shape[0]! * wholeWords(blocks.row_bytes) : 4 * elementsOf(shape);
  }
  return isQuantized ? bytes : null;
}

/** The weights that one product has together: it is kept in blocks only if each of them is. */
const productsOf = ({ layers }: Spec): string[][] =>
  layers.map(({ attention }) => attention.qkv.map(({ path }) => `${path}.weight`));

const wholeWords = (bytes: number): number => 4 * Math.ceil(bytes / 4);
