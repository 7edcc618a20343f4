import { LLAMA_PARTS, llamaLikeGguf, type GgufFamily } from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';
import type { ConfigReader } from '../config';
import type { Family } from '../family';
import { readRope } from '../rope';
import { linear, readActivation } from '../sizes';
import type { ExpertSpec, LinearSpec, MixtureSpec } from '../spec';
import { attentionBias, llamaLike, windowSize, type LlamaModel } from './llamaLike';

// Mixtures of experts.

/** Keeps a forged config from causing an endless list of names. */
const MAX_EXPERTS = 2 ** 16;

/** How many experts each layer has. */
export const countExperts = (reader: ConfigReader, num_layers: number, missing?: number): number =>
  reader.count(['num_experts', 'num_local_experts'], missing, Math.floor(MAX_EXPERTS / num_layers));

interface ExpertSizes {
  readonly hidden_size: number;
  readonly inner: number;
  readonly count: number;
}

/** Experts without biases, whose gate and up are modules of their own. */
export const plainExperts = (
  module: string,
  { hidden_size, inner, count }: ExpertSizes,
): ExpertSpec[] =>
  Array.from({ length: count }, (_, e): ExpertSpec => {
    const expert = `${module}.${e}`;
    return {
      halves: {
        gate: linear(`${expert}.gate_proj`, hidden_size, inner),
        up: linear(`${expert}.up_proj`, hidden_size, inner),
      },
      down: linear(`${expert}.down_proj`, inner, hidden_size),
      gate_up: linear(`${expert}.gate_up_proj`, hidden_size, 2 * inner),
      order: 'halves',
    };
  });

/** Qwen 3's MLP of a layer; null: it is a dense one. */
function qwenMixture({ reader, sizes }: LlamaModel, i: number): MixtureSpec | null {
  const { hidden_size, num_layers } = sizes;
  const dense: unknown = reader.raw('mlp_only_layers') ?? [];
  if (!Array.isArray(dense)) throw reader.bad('mlp_only_layers', 'must list numbers of layers');
  const count = countExperts(reader, num_layers, 128);
  const isSparse = (i + 1) % reader.count('decoder_sparse_step', 1) === 0;
  if (!isSparse || dense.includes(i)) return null;
  const inner = reader.count('moe_intermediate_size', 768);
  const at = `model.layers.${i}.mlp`;
  const module = `${at}.experts`;
  return {
    kind: 'mixture',
    activation: readActivation(reader, 'silu'),
    router: linear(`${at}.gate`, hidden_size, count),
    module,
    experts: plainExperts(module, { hidden_size, inner, count }),
    top_k: reader.count('num_experts_per_tok', Math.min(8, count), count),
    normalises: reader.flag('norm_topk_prob'),
  };
}

const PACKED = 'mxfp4';

/** gpt-oss's MLP: weights are stored as [in, out], unless they are packed. */
function gptOssMixture({ reader, sizes }: LlamaModel, i: number): MixtureSpec {
  const { hidden_size, num_layers, intermediate_size: inner } = sizes;
  const count = countExperts(reader, num_layers, 128);
  const at = `model.layers.${i}.mlp`;
  const module = `${at}.experts`;
  const transposed = reader.packing !== PACKED;
  const layer = (path: string, from: number, to: number): LinearSpec => ({
    ...linear(path, from, to, true),
    transposed,
  });
  return {
    kind: 'mixture',
    activation: readActivation(reader, 'silu'),
    clamped: {
      alpha: reader.positive('swiglu_alpha', 1.702),
      limit: reader.positive('swiglu_limit', 7),
    },
    router: linear(`${at}.router`, hidden_size, count, true),
    module,
    experts: Array.from({ length: count }, (_, e) => ({
      halves: null,
      down: layer(`${module}.${e}.down_proj`, inner, hidden_size),
      gate_up: layer(`${module}.${e}.gate_up_proj`, hidden_size, 2 * inner),
      order: 'in_turn',
    })),
    top_k: reader.count('num_experts_per_tok', Math.min(4, count), count),
    normalises: true, // a softmax over the chosen ones
  };
}

/** Every second layer, from the first, where the config does not say. */
const isGptOssWindow = (reader: ConfigReader, layer: number, num_layers: number): boolean => {
  const given = reader.list('layer_types', num_layers);
  return given ? given[layer] === 'sliding_attention' : layer % 2 === 0;
};

const GPT_OSS_ROPE = {
  rope_type: 'yarn',
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
};

/** The sizes of a mixture, by the keys of config.json. */
export const expertConfig = (metadata: Metadata): Readonly<Record<string, number>> => {
  const at = (key: string) => metadata.number(`${metadata.string('general.architecture')}.${key}`);
  return {
    num_experts: at('expert_count'),
    num_experts_per_tok: at('expert_used_count'),
    moe_intermediate_size: at('expert_feed_forward_length'),
  };
};

/** Names of experts' tensors within the layers of GGUF files. */
const EXPERT_PARTS: typeof LLAMA_PARTS = [
  ['ffn_gate_exps', 'mlp.experts.gate_proj'],
  ['ffn_up_exps', 'mlp.experts.up_proj'],
  ['ffn_down_exps', 'mlp.experts.down_proj'],
];

const ATTENTION_PARTS = LLAMA_PARTS.filter(([, path]) => !path.startsWith('mlp.'));

/** llama.cpp always divides the probabilities of the chosen experts by their sum. */
const QWEN3_MOE_GGUF: GgufFamily = llamaLikeGguf('qwen3moe', {
  model_type: 'qwen3_moe',
  parts: new Map([...ATTENTION_PARTS, ['ffn_gate_inp', 'mlp.gate'], ...EXPERT_PARTS]),
  experts: 'halves',
  config: (metadata, has) => ({
    ...expertConfig(metadata),
    hidden_act: 'silu',
    attention_bias: has('blk.0.attn_q.bias'),
    norm_topk_prob: true,
    decoder_sparse_step: 1,
  }),
});

/** Every n-th layer sees all tokens, by default the second. */
function gptOssTypes(metadata: Metadata): readonly string[] {
  const key = 'gpt-oss.attention.sliding_window_pattern';
  const layers = metadata.number('gpt-oss.block_count');
  const given = metadata.isList(key) ? metadata.booleans(key) : null;
  const every = given ? 1 : metadata.number(key, 2);
  const isSliding = (i: number) => (given ? given[i] === true : (i + 1) % every !== 0);
  return Array.from({ length: Math.min(layers, MAX_EXPERTS) }, (_, i) =>
    isSliding(i) ? 'sliding_attention' : 'full_attention',
  );
}

/**
 * Experts' rows are read as those of packed weights, [out, in]. No published model rounds the
 * limits of YaRN's ramp, which llama.cpp always does.
 */
const GPT_OSS_GGUF: GgufFamily = llamaLikeGguf('gpt-oss', {
  model_type: 'gpt_oss',
  parts: new Map([
    ...ATTENTION_PARTS.filter(([part]) => part !== 'ffn_norm'),
    ['post_attention_norm', 'post_attention_layernorm'],
    ['ffn_gate_inp', 'mlp.router'],
    ...EXPERT_PARTS,
  ]),
  tensors: new Map([['attn_sinks.weight', 'self_attn.sinks']]),
  experts: 'in_turn',
  rope: (_, rope) => (rope['rope_type'] === 'yarn' ? { ...rope, truncate: false } : rope),
  config: (metadata, has) => {
    const { num_experts, num_experts_per_tok, moe_intermediate_size } = expertConfig(metadata);
    return {
      num_local_experts: num_experts,
      num_experts_per_tok,
      intermediate_size: moe_intermediate_size,
      hidden_act: 'silu',
      attention_bias: has('blk.0.attn_q.bias'),
      layer_types: gptOssTypes(metadata),
      sliding_window: metadata.number('gpt-oss.attention.sliding_window'),
      quantization_config: { quant_method: PACKED },
    };
  },
});

const gptOssBias = (reader: ConfigReader) => reader.flag('attention_bias', true);

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
    translatesTargets: true,
    mlx: false,
    gguf: QWEN3_MOE_GGUF,
  },
  gpt_oss: {
    ...llamaLike({
      qkv_bias: gptOssBias,
      o_bias: gptOssBias,
      window: (reader, layer, num_layers) =>
        isGptOssWindow(reader, layer, num_layers) ? reader.count('sliding_window', 128) : null,
      rope: ({ reader, sizes: { head_dim } }) =>
        readRope(reader, { head_dim, theta: 150_000, missing: GPT_OSS_ROPE }),
      head_dim: 64,
      eps: 1e-5,
      sinks: true,
      mixture: gptOssMixture,
    }),
    tasks: ['causal_lm'],
    transformersClass: 'GptOss',
    hasExperts: true,
    mlx: false,
    gguf: GPT_OSS_GGUF,
    packed: PACKED,
  },
};
