import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { decoderHead } from '../heads';
import { layerNorm, linear, NO_NORMS, readActivation, readSizes, type Sizes } from '../sizes';
import type { LayerSpec, LinearSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader);
  const eps = reader.positive('layer_norm_epsilon', 1e-5);
  const { hidden_size, vocab_size, num_layers } = sizes;
  const classifies = options.task === 'token_cls';
  return {
    family: 'gpt2',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: { path: 'transformer.wte', rows: vocab_size },
      scale: 1,
      types: null,
      norm: null,
      positions: {
        path: 'transformer.wpe',
        rows: reader.count(['n_positions', 'max_position_embeddings'], 1024),
        offset: 0,
      },
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, eps, i)),
    final_norm: layerNorm('transformer.ln_f', hidden_size, eps),
    head: classifies
      ? {
          kind: 'labels',
          pool: 'none',
          dense: null,
          output: linear('classifier', hidden_size, options.num_labels, true),
        }
      : decoderHead(reader, options, hidden_size, vocab_size, null, 'lm_head', true),
  };
}

/** Its own kind of linear layer. */
const conv1d = (path: string, in_features: number, out_features: number): LinearSpec => ({
  path,
  in_features,
  out_features,
  bias: true,
  transposed: true,
});

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  eps: number,
  i: number,
): LayerSpec {
  const at = `transformer.h.${i}`;
  const root = reader.flag('scale_attn_weights', true) ? 1 / Math.sqrt(head_dim) : 1;
  return {
    residual: 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'stacked',
      qkv: [conv1d(`${at}.attn.c_attn`, hidden_size, 3 * hidden_size)],
      o: conv1d(`${at}.attn.c_proj`, hidden_size, hidden_size),
      qk_norm: null,
      rope: null,
      window: null,
      softcap: null,
      scale: reader.flag('scale_attn_by_inverse_layer_idx') ? root / (i + 1) : root,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu_new'),
      up: conv1d(`${at}.mlp.c_fc`, hidden_size, intermediate_size),
      down: conv1d(`${at}.mlp.c_proj`, intermediate_size, hidden_size),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${at}.ln_1`, hidden_size, eps),
      mlp_in: layerNorm(`${at}.ln_2`, hidden_size, eps),
    },
  };
}

export const gpt2Families: Readonly<Record<string, Family>> = {
  gpt2: {
    tasks: ['causal_lm', 'seq_cls', 'token_cls'],
    spec: specOf,
    renames: [
      [/^(?:transformer\.)?h\.\d+\.attn\.(?:masked_)?bias$/, null],
      [/^(?=(?:wte|wpe|ln_f|h)\.)/, 'transformer.'],
    ],
  },
};
