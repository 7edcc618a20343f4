import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { decoderHead } from '../heads';
import { readRope } from '../rope';
import { layerNorm, linear, NO_NORMS, readActivation, readSizes, type Sizes } from '../sizes';
import type { LayerSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader);
  const eps = reader.positive('layer_norm_eps', 1e-5);
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    family: 'gpt_neox',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: { path: 'gpt_neox.embed_in', rows: vocab_size },
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, eps, i)),
    final_norm: layerNorm('gpt_neox.final_layer_norm', hidden_size, eps),
    head:
      options.task === 'token_cls'
        ? {
            kind: 'labels',
            pool: 'none',
            dense: null,
            output: linear('classifier', hidden_size, options.num_labels, true),
          }
        : decoderHead(reader, options, hidden_size, vocab_size, null, 'embed_out'),
  };
}

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  eps: number,
  i: number,
): LayerSpec {
  const at = `gpt_neox.layers.${i}`;
  const bias = reader.flag('attention_bias', true);
  return {
    residual: reader.flag('use_parallel_residual', true) ? 'parallel' : 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'per_head',
      qkv: [linear(`${at}.attention.query_key_value`, hidden_size, 3 * hidden_size, bias)],
      o: linear(`${at}.attention.dense`, hidden_size, hidden_size, bias),
      qk_norm: null,
      rope: readRope(reader, { head_dim, partial: 0.25 }),
      scale: 1 / Math.sqrt(head_dim),
      window: null,
      softcap: null,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${at}.mlp.dense_h_to_4h`, hidden_size, intermediate_size, true),
      down: linear(`${at}.mlp.dense_4h_to_h`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${at}.input_layernorm`, hidden_size, eps),
      mlp_in: layerNorm(`${at}.post_attention_layernorm`, hidden_size, eps),
    },
  };
}

export const gptNeoxFamilies: Readonly<Record<string, Family>> = {
  gpt_neox: {
    tasks: ['causal_lm', 'seq_cls', 'token_cls'],
    spec: specOf,
    renames: [
      [/\.attention\.(?:masked_)?bias$/, null],
      [/\.rotary_emb\.inv_freq$/, null],
    ],
  },
};
