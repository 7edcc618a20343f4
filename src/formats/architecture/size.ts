import type { ModelSize } from '../../lora/memory';
import type { Spec } from './spec';

/** The sizes of a model that its memory use depends on. */
export function modelSize({
  spec,
  parameters,
}: {
  readonly spec: Spec;
  readonly parameters: number;
}): ModelSize {
  const { attention, mlp } = spec.layers[0]!;
  return {
    parameters,
    hidden_size: spec.hidden_size,
    num_layers: spec.num_layers,
    num_heads: attention.num_heads,
    q_size: attention.num_heads * attention.head_dim,
    kv_size: attention.num_kv_heads * attention.head_dim,
    inner_size: mlp.down.in_features,
    gated: mlp.kind !== 'plain',
    causal: spec.causal,
    outputs: spec.head.kind === 'pooled' ? spec.hidden_size : spec.head.output.out_features,
  };
}
