import type { GgufFamily } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
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
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      output: 'embed_out',
      token_classifier: 'classifier',
    }),
  };
}

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  eps: number,
  i: number,
): LayerSpec {
  const prefix = `gpt_neox.layers.${i}`;
  const bias = reader.flag('attention_bias', true);
  return {
    residual: reader.flag('use_parallel_residual', true) ? 'parallel' : 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'per_head',
      qkv: [linear(`${prefix}.attention.query_key_value`, hidden_size, 3 * hidden_size, bias)],
      o: linear(`${prefix}.attention.dense`, hidden_size, hidden_size, bias),
      qk_norm: null,
      rope: readRope(reader, {
        head_dim,
        partial: 0.25,
        older: { theta: 'rotary_emb_base', partial: 'rotary_pct' },
      }),
      scale: 1 / Math.sqrt(head_dim),
      window: null,
      softcap: null,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${prefix}.mlp.dense_h_to_4h`, hidden_size, intermediate_size, true),
      down: linear(`${prefix}.mlp.dense_4h_to_h`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${prefix}.input_layernorm`, hidden_size, eps),
      mlp_in: layerNorm(`${prefix}.post_attention_layernorm`, hidden_size, eps),
    },
  };
}

const gguf: GgufFamily = {
  arch: 'gptneox',
  model_type: 'gpt_neox',
  layers: 'gpt_neox.layers',
  top: new Map([
    ['token_embd.weight', 'gpt_neox.embed_in.weight'],
    ['output_norm.weight', 'gpt_neox.final_layer_norm.weight'],
    ['output_norm.bias', 'gpt_neox.final_layer_norm.bias'],
    ['output.weight', 'embed_out.weight'],
  ]),
  parts: new Map([
    ['attn_norm', 'input_layernorm'],
    ['ffn_norm', 'post_attention_layernorm'],
    ['attn_qkv', 'attention.query_key_value'],
    ['attn_output', 'attention.dense'],
    ['ffn_up', 'mlp.dense_h_to_4h'],
    ['ffn_down', 'mlp.dense_4h_to_h'],
  ]),
  partial_rotary: true,
  storage: (name) => (name.includes('.query_key_value.') ? 'by_part' : 'plain'),
  config: (metadata, has) => ({
    hidden_act: 'gelu',
    layer_norm_eps: metadata.decimal('gptneox.attention.layer_norm_epsilon', 1e-5),
    use_parallel_residual: metadata.boolean('gptneox.use_parallel_residual', true),
    attention_bias: has('blk.0.attn_qkv.bias'),
  }),
};

export const gptNeoxFamilies: Readonly<Record<string, Family>> = {
  gpt_neox: {
    tasks: DECODER_TASKS,
    spec: specOf,
    renames: [
      [/\.attention\.(?:masked_)?bias$/, null],
      [/\.rotary_emb\.inv_freq$/, null],
    ],
    transformersClass: 'GPTNeoX',
    mlx: true,
    gguf,
  },
};
