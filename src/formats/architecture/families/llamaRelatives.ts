import {
  gatedConfig,
  LLAMA_PARTS,
  llamaLikeGguf,
  NORMS_AFTER_PARTS,
  rotaryStorage,
  windowConfig,
  type GgufFamily,
} from '../../gguf/family';
import { isObject } from '../../../shared/values';
import { positiveOf, type ConfigReader } from '../config';
import type { Family } from '../family';
import { GENERATION_TASKS } from '../heads';
import { OLMO_GGUF } from './llama';
import { readRope } from '../rope';
import type { RopeSpec } from '../spec';
import {
  attentionBias,
  isSlidingType,
  llamaLike,
  mlpBias,
  never,
  OUTPUT_NORMS,
  ropeOf,
  unlimited,
  windowSize,
  type LlamaModel,
  type Multipliers,
} from './llamaLike';

const graniteMultipliers = (reader: ConfigReader): Multipliers => ({
  embedding: reader.positive('embedding_multiplier', 1),
  attention: reader.positive('attention_multiplier', 1),
  residual: reader.positive('residual_multiplier', 1),
  logits: 1 / reader.positive('logits_scaling', 1),
});

const graniteGgufConfig: GgufFamily['config'] = (metadata, has) => ({
  ...gatedConfig(metadata, has),
  attention_multiplier: metadata.decimal('granite.attention.scale', 1),
  embedding_multiplier: metadata.decimal('granite.embedding_scale', 1),
  residual_multiplier: metadata.decimal('granite.residual_scale', 1),
  logits_scaling: metadata.decimal('granite.logit_scale', 1),
});

const SEED_OSS_PARTS = new Map([
  ...LLAMA_PARTS.filter(([, path]) => path !== 'post_attention_layernorm'),
  ['post_attention_norm', 'post_attention_layernorm'],
]);

const GLM4_PARTS = new Map([
  ...LLAMA_PARTS,
  ['post_attention_norm', 'post_self_attn_layernorm'],
  ['post_ffw_norm', 'post_mlp_layernorm'],
  ['ffn_up', 'mlp.gate_up_proj'],
]);

/** OLMo 3: all layers but every fourth, unless the config lists them. */
const isOlmoSliding = (reader: ConfigReader, layer: number, num_layers: number): boolean =>
  reader.list('layer_types', num_layers)
    ? isSlidingType(reader, layer, num_layers)
    : (layer + 1) % 4 !== 0;

/** Older configs have one rope_theta, and a rope_scaling that is only for the other layers. */
function olmo3Rope({ reader, sizes }: LlamaModel, layer: number): RopeSpec {
  const { head_dim, num_layers } = sizes;
  const isSliding = isOlmoSliding(reader, layer, num_layers);
  const kind = isSliding ? 'sliding_attention' : 'full_attention';
  const rope = readRope(reader, { head_dim, theta: 500_000, kind });
  const isOlder = reader.raw('rope_parameters') === undefined;
  return isSliding && isOlder ? { ...rope, scaling: { kind: 'default' } } : rope;
}

/** What a config without rope_parameters means. */
const MINISTRAL3_ROPE = {
  rope_type: 'yarn',
  factor: 16,
  original_max_position_embeddings: 16_384,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

/**
 * EXAONE 4: by layer_types, or by a period (4 by default) or a pattern of L (local) and G (global),
 * which ends with a global layer. Without a window, no layer is local.
 */
function isExaoneSliding(reader: ConfigReader, layer: number, num_layers: number): boolean {
  if (reader.config['sliding_window'] === null) return false;
  if (reader.list('layer_types', num_layers)) return isSlidingType(reader, layer, num_layers);
  const pattern = reader.raw('sliding_window_pattern') ?? 4;
  if (typeof pattern !== 'string')
    return (layer + 1) % reader.count('sliding_window_pattern', 4) !== 0;
  if (!/^[LG]+$/.test(pattern))
    throw reader.bad('sliding_window_pattern', 'must be a number, or letters L and G');
  return layer < num_layers - 1 && pattern[layer % pattern.length] === 'L';
}

/** Where some layers are local, the others have no rotary embeddings. */
function exaone4Rope(model: LlamaModel, layer: number): RopeSpec | null {
  const { reader, sizes } = model;
  const isAllGlobal = reader.config['sliding_window'] === null;
  return isAllGlobal || isExaoneSliding(reader, layer, sizes.num_layers) ? ropeOf(model) : null;
}

/** Dynamic scaling with an alpha does not depend on the length: the base is larger. */
function hunyuanRope(model: LlamaModel): RopeSpec {
  const { reader, sizes } = model;
  const rope = ropeOf(model);
  const settings = reader.raw('rope_parameters', 'rope_scaling');
  const alpha = isObject(settings) ? (settings['alpha'] ?? null) : null;
  if (rope.scaling.kind !== 'dynamic' || alpha === null) return rope;
  const stretch = positiveOf(alpha, (what) => reader.bad('alpha', what));
  const { head_dim: dim } = sizes;
  const theta = rope.theta * Math.pow(stretch, dim / (dim - 2));
  return { ...rope, theta, scaling: { kind: 'default' } };
}

const HUNYUAN_GGUF = llamaLikeGguf('hunyuan-dense', {
  model_type: 'hunyuan_v1_dense',
  parts: new Map([
    ...LLAMA_PARTS,
    ['attn_q_norm', 'self_attn.query_layernorm'],
    ['attn_k_norm', 'self_attn.key_layernorm'],
  ]),
});

const EXAONE4_GGUF = llamaLikeGguf('exaone4', {
  parts: NORMS_AFTER_PARTS,
  config: (metadata, has) => ({
    ...gatedConfig(metadata, has),
    ...windowConfig(metadata, 'exaone4'),
  }),
});

const MINISTRAL3_GGUF = llamaLikeGguf('mistral3', {
  model_type: 'ministral3',
  storage: rotaryStorage,
  rope: (metadata, parameters) => {
    const mscale = metadata.decimal('mistral3.rope.scaling.yarn_log_multiplier', 0);
    return {
      ...parameters,
      llama_4_scaling_beta: metadata.decimal('mistral3.attention.temperature_scale', 0),
      ...(mscale > 0 && { mscale, mscale_all_dim: mscale }),
    };
  },
  yarn_keys: ['yarn_log_multiplier'],
});

const useBias = (reader: ConfigReader) => reader.flag('use_bias');

/** Families with the parts of Llama's, in other places or with other factors. */
export const llamaRelatives: Readonly<Record<string, Family>> = {
  granite: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      mlp_bias: mlpBias,
      window: unlimited,
      multipliers: graniteMultipliers,
    }),
    tasks: ['causal_lm'],
    transformersClass: 'Granite',
    mlx: true,
    gguf: llamaLikeGguf('granite', { storage: rotaryStorage, config: graniteGgufConfig }),
  },
  olmo3: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: (reader, layer, num_layers) =>
        isOlmoSliding(reader, layer, num_layers) ? reader.count('sliding_window', 4096) : null,
      qk_norm: 'all',
      norms: OUTPUT_NORMS,
      rope: olmo3Rope,
      eps: 1e-5,
      padding: 1,
    }),
    tasks: GENERATION_TASKS,
    transformersClass: 'Olmo3',
    mlx: true,
    gguf: OLMO_GGUF,
  },
  ministral3: {
    ...llamaLike({
      qkv_bias: never,
      o_bias: never,
      window: windowSize,
      rope: ({ reader, sizes: { head_dim } }) =>
        readRope(reader, { head_dim, theta: 1_000_000, missing: MINISTRAL3_ROPE }),
      eps: 1e-5,
      padding: 11,
      head_dim: 128,
    }),
    transformersClass: 'Ministral3',
    mlx: true,
    gguf: MINISTRAL3_GGUF,
  },
  ernie4_5: {
    ...llamaLike({
      qkv_bias: useBias,
      o_bias: useBias,
      mlp_bias: useBias,
      window: unlimited,
      rope: ({ reader, sizes: { head_dim } }) => ({
        ...readRope(reader, { head_dim, theta: 500_000 }),
        pairs: 'neighbours',
      }),
      eps: 1e-5,
      padding: 0,
      head_dim: 128,
      tied: true,
    }),
    tasks: ['causal_lm'],
    transformersClass: 'Ernie4_5',
    mlx: true,
    gguf: llamaLikeGguf('ernie4_5', {
      config: (metadata, has) => ({
        ...gatedConfig(metadata, has),
        use_bias: has('blk.0.attn_q.bias'),
      }),
    }),
  },
  glm4: {
    ...llamaLike({
      qkv_bias: (reader) => reader.flag('attention_bias', true),
      o_bias: never,
      window: unlimited,
      norms: {
        attention_in: 'input_layernorm',
        attention_out: 'post_self_attn_layernorm',
        mlp_in: 'post_attention_layernorm',
        mlp_out: 'post_mlp_layernorm',
      },
      rope: ({ reader, sizes: { head_dim } }) => ({
        ...readRope(reader, { head_dim, partial: 0.5 }),
        pairs: 'neighbours',
      }),
      eps: 1.5625e-7,
      padding: 151_329,
      head_dim: 128,
      fused_mlp: true,
    }),
    transformersClass: 'Glm4',
    mlx: true,
    gguf: llamaLikeGguf('glm4', { partial_rotary: true, parts: GLM4_PARTS }),
  },
  exaone4: {
    ...llamaLike({
      qkv_bias: never,
      o_bias: never,
      window: (reader, layer, num_layers) =>
        isExaoneSliding(reader, layer, num_layers) ? reader.count('sliding_window', 4096) : null,
      qk_norm: 'head',
      norms: OUTPUT_NORMS,
      rope: exaone4Rope,
      eps: 1e-5,
    }),
    transformersClass: 'Exaone4',
    mlx: true,
    gguf: EXAONE4_GGUF,
  },
  hunyuan_v1_dense: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: unlimited,
      qk_norm: 'head_after_rope',
      rope: hunyuanRope,
      eps: 1e-5,
      padding: 0,
    }),
    tasks: GENERATION_TASKS,
    transformersClass: 'HunYuanDenseV1',
    mlx: true,
    gguf: HUNYUAN_GGUF,
  },
  seed_oss: {
    ...llamaLike({
      qkv_bias: (reader) => reader.flag('attention_bias', true),
      o_bias: (reader) => reader.flag('attention_out_bias'),
      mlp_bias: mlpBias,
      window: unlimited,
      padding: 1,
      head_dim: 128,
    }),
    transformersClass: 'SeedOss',
    mlx: true,
    gguf: llamaLikeGguf('seed_oss', {
      parts: SEED_OSS_PARTS,
      config: (metadata, has) => ({
        ...gatedConfig(metadata, has),
        attention_out_bias: has('blk.0.attn_output.bias'),
      }),
    }),
  },
};
