import type { SeenKeys } from './attention/attention';
import type { ScoreBias } from './attention/scoreBias';
import type { PerLayerPass } from './embeddings/perLayerInputs';
import type { LayerWeights } from './layers/layerWeights';
import type { ModelInput } from './model';
import type { Ops, Tensor } from './ops/ops';

/** Tokens of one sequence at these positions. */
export const inputAt = (ids: Int32Array, position_ids: Int32Array): ModelInput => ({
  batch: 1,
  length: ids.length,
  input_ids: ids,
  attention_mask: new Int32Array(ids.length).fill(1),
  position_ids,
});

/** The last of `length` tokens as a row block; `freeSeenKeys` frees its biases. */
export const lastQuery = (
  length: number,
  window: number | null,
  bias: ScoreBias | null,
): SeenKeys => {
  const from = window === null ? 0 : Math.max(0, length - window);
  const range = { start: 0, end: 1, from, to: length };
  const own = bias && { bias: bias.ofBlock(range, length - 1) };
  return { kind: 'rows', blocks: [{ ...range, mask: null, ...own }] };
};

/** A second handle of a layer's token embeddings; null: it has none. */
export function layerVectors(
  ops: Ops,
  perLayer: PerLayerPass | null,
  { perLayer: branch }: LayerWeights,
): Tensor | null {
  const v = branch && perLayer?.inputs[branch.layer];
  return v ? ops.reshape(v, v.shape) : null;
}
