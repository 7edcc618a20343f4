import type { Family } from '../family';
import { linear, readActivation } from '../sizes';
import type { ExpertSpec, MixtureSpec } from '../spec';
import { attentionBias, llamaLike, windowSize, type LlamaModel } from './llamaLike';

// Mixtures of experts.

/** Keeps a forged config from causing an endless list of names. */
const MAX_EXPERTS = 2 ** 16;

/** Qwen 3's MLP of a layer; null: it is a dense one. */
function qwenMixture({ reader, sizes }: LlamaModel, i: number): MixtureSpec | null {
  const { hidden_size, num_layers } = sizes;
  const dense: unknown = reader.raw('mlp_only_layers') ?? [];
  if (!Array.isArray(dense)) throw reader.bad('mlp_only_layers', 'must list numbers of layers');
  const most = Math.floor(MAX_EXPERTS / num_layers);
  const count = reader.count(['num_experts', 'num_local_experts'], 128, most);
  const isSparse = (i + 1) % reader.count('decoder_sparse_step', 1) === 0;
  if (!isSparse || dense.includes(i)) return null;
  const inner = reader.count('moe_intermediate_size', 768);
  const at = `model.layers.${i}.mlp`;
  return {
    kind: 'mixture',
    activation: readActivation(reader, 'silu'),
    router: linear(`${at}.gate`, hidden_size, count),
    experts: Array.from({ length: count }, (_, e): ExpertSpec => {
      const expert = `${at}.experts.${e}`;
      return {
        gate: linear(`${expert}.gate_proj`, hidden_size, inner),
        up: linear(`${expert}.up_proj`, hidden_size, inner),
        down: linear(`${expert}.down_proj`, inner, hidden_size),
        gate_up: linear(`${expert}.gate_up_proj`, hidden_size, 2 * inner),
      };
    }),
    top_k: reader.count('num_experts_per_tok', Math.min(8, count), count),
    normalises: reader.flag('norm_topk_prob'),
  };
}

export const mixtureFamilies: Readonly<Record<string, Family>> = {
  qwen3_moe: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: (reader) => (reader.flag('use_sliding_window') ? windowSize(reader) : null),
      qk_norm: 'head',
      mixture: qwenMixture,
    }),
    tasks: ['causal_lm'],
    transformersClass: 'Qwen3Moe',
    hasExperts: true,
    mlx: false,
    gguf: null,
  },
};
