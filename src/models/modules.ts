import type { TargetableModule } from '../lora/types';
import type { Architecture } from './architecture';

/** The layers of a decoder that LoRA can adapt, in the order of the model. */
export function targetableModules(arch: Architecture): TargetableModule[] {
  const { hidden_size: d, intermediate_size, vocab_size } = arch;
  const q = arch.num_heads * arch.head_dim;
  const kv = arch.num_kv_heads * arch.head_dim;
  const linear = (path: string, in_features: number, out_features: number, is_output = false): TargetableModule => ({
    path, kind: 'linear', in_features, out_features, is_output,
  });
  const layer = (i: number) => [
    linear(`model.layers.${i}.self_attn.q_proj`, d, q),
    linear(`model.layers.${i}.self_attn.k_proj`, d, kv),
    linear(`model.layers.${i}.self_attn.v_proj`, d, kv),
    linear(`model.layers.${i}.self_attn.o_proj`, q, d),
    linear(`model.layers.${i}.mlp.gate_proj`, d, intermediate_size),
    linear(`model.layers.${i}.mlp.up_proj`, d, intermediate_size),
    linear(`model.layers.${i}.mlp.down_proj`, intermediate_size, d),
  ];
  return [
    { path: 'model.embed_tokens', kind: 'embedding', in_features: vocab_size, out_features: d, is_output: false },
    ...Array.from({ length: arch.num_layers }, (_, i) => layer(i)).flat(),
    linear('lm_head', d, vocab_size, true),
  ];
}
