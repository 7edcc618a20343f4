import {
  gatedConfig,
  LLAMA_PARTS,
  llamaLikeGguf,
  OUTPUT_NORM_PARTS,
  type GgufFamily,
} from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead, GENERATION_TASKS } from '../heads';
import { readRope } from '../rope';
import {
  linear,
  NO_NORMS,
  readActivation,
  readSizes,
  rmsNorm,
  type Sizes,
  tokenTable,
} from '../sizes';
import type { Activation, AttentionSpec, LayerNorms, LayerSpec, RopeSpec, Spec } from '../spec';

type Generation = 1 | 2 | 3;

/** A model that is being described. */
interface GemmaModel {
  readonly reader: ConfigReader;
  readonly generation: Generation;
  readonly sizes: Sizes;
  /** Epsilon of the norms. */
  readonly eps: number;
}

function specOf(reader: ConfigReader, options: SpecOptions, generation: Generation): Spec {
  if (reader.raw('use_bidirectional_attention') === true)
    throw reader.bad('use_bidirectional_attention', 'is true, which is not supported');
  const sizes = readSizes(reader);
  const model: GemmaModel = {
    reader,
    generation,
    sizes,
    eps: reader.positive('rms_norm_eps', 1e-6),
  };
  const { hidden_size, vocab_size, num_layers } = sizes;
  const softcap = generation === 1 ? null : reader.positiveOrNull('final_logit_softcapping');
  return {
    family: String(reader.config['model_type']),
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size, 0),
      scale: Math.sqrt(hidden_size),
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(model, i)),
    final_norm: rmsNorm('model.norm', hidden_size, model.eps, true),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      softcap,
      tied_by_default: true,
    }),
  };
}

function layerOf(model: GemmaModel, i: number): LayerSpec {
  const { sizes } = model;
  const { hidden_size, intermediate_size } = sizes;
  const prefix = `model.layers.${i}`;
  return {
    residual: 'sequential',
    attention: attentionOf(model, i),
    norms: normsOf(model, i),
    mlp: {
      kind: 'gated',
      activation: activationOf(model),
      gate: linear(`${prefix}.mlp.gate_proj`, hidden_size, intermediate_size),
      up: linear(`${prefix}.mlp.up_proj`, hidden_size, intermediate_size),
      down: linear(`${prefix}.mlp.down_proj`, intermediate_size, hidden_size),
    },
  };
}

/** The first configs of Gemma say "gelu" and mean its tanh approximation. */
function activationOf({ reader, generation }: GemmaModel): Activation {
  const missing = 'gelu_pytorch_tanh';
  if (generation !== 1) return readActivation(reader, missing, ['hidden_activation']);
  return reader.raw('hidden_act') === 'gelu'
    ? 'gelu_tanh'
    : readActivation(reader, missing, ['hidden_act']);
}

function attentionOf(model: GemmaModel, i: number): AttentionSpec {
  const { reader, generation, sizes, eps } = model;
  const prefix = `model.layers.${i}.self_attn`;
  const { hidden_size, num_heads, num_kv_heads, head_dim } = sizes;
  const [q_size, kv_size] = [num_heads * head_dim, num_kv_heads * head_dim];
  const bias = reader.flag('attention_bias');
  const sliding = isSliding(model, i);
  return {
    num_heads,
    num_kv_heads,
    head_dim,
    layout: 'separate',
    qkv: [
      linear(`${prefix}.q_proj`, hidden_size, q_size, bias),
      linear(`${prefix}.k_proj`, hidden_size, kv_size, bias),
      linear(`${prefix}.v_proj`, hidden_size, kv_size, bias),
    ],
    o: linear(`${prefix}.o_proj`, q_size, hidden_size, bias),
    qk_norm:
      generation === 3
        ? {
            over: 'head',
            q: rmsNorm(`${prefix}.q_norm`, head_dim, eps, true),
            k: rmsNorm(`${prefix}.k_norm`, head_dim, eps, true),
          }
        : null,
    rope: ropeOf(model, sliding),
    scale:
      1 / Math.sqrt(generation === 1 ? head_dim : reader.positive('query_pre_attn_scalar', 256)),
    window: sliding ? reader.count('sliding_window', 4096) : null,
    softcap: generation === 2 ? reader.positiveOrNull('attn_logit_softcapping') : null,
  };
}

/** Gemma 2: every second layer, from the first. Gemma 3: all but every sixth. */
function isSliding({ reader, generation, sizes }: GemmaModel, i: number): boolean {
  if (generation === 1) return false;
  const types = reader.list('layer_types', sizes.num_layers);
  if (types) return types[i] === 'sliding_attention';
  const period = generation === 2 ? 2 : reader.count('sliding_window_pattern', 6);
  return (i + 1) % period !== 0;
}

/**
 * The sliding layers of Gemma 3 have another base frequency. Older configs call it
 * rope_local_base_freq, and their rope_scaling is only for the other layers.
 */
function ropeOf({ reader, generation, sizes }: GemmaModel, sliding: boolean): RopeSpec {
  const { head_dim } = sizes;
  if (generation !== 3) return readRope(reader, { head_dim });
  const parameters = reader.raw('rope_parameters') as Record<string, unknown> | undefined;
  if (parameters?.['full_attention'] !== undefined)
    return readRope(reader, { head_dim, kind: sliding ? 'sliding_attention' : 'full_attention' });
  if (sliding)
    return {
      theta: reader.positive('rope_local_base_freq', 10_000),
      rotary_dim: head_dim,
      scaling: { kind: 'default' },
    };
  return readRope(reader, { head_dim, theta: 1_000_000 });
}

function normsOf({ generation, sizes, eps }: GemmaModel, i: number): LayerNorms {
  const norm = (name: string) => rmsNorm(`model.layers.${i}.${name}`, sizes.hidden_size, eps, true);
  if (generation === 1)
    return {
      ...NO_NORMS,
      attention_in: norm('input_layernorm'),
      mlp_in: norm('post_attention_layernorm'),
    };
  return {
    ...NO_NORMS,
    attention_in: norm('input_layernorm'),
    attention_out: norm('post_attention_layernorm'),
    mlp_in: norm('pre_feedforward_layernorm'),
    mlp_out: norm('post_feedforward_layernorm'),
  };
}

/**
 * The number of layers of Gemma's largest models, whose attention scores are scaled by 1 /
 * √(hidden_size / num_heads) instead of 1 / √head_dim. The file doesn't say so: llama.cpp goes by
 * the number of layers, too.
 */
const WIDE_SCORES: Readonly<Record<2 | 3, number>> = { 2: 46, 3: 62 };
const GEMMA3_LOCAL_THETA = 10_000;

/** Config keys that Gemma 1 lacks. */
const laterConfig =
  (generation: 2 | 3): GgufFamily['config'] =>
  (metadata, has) => {
    const arch = metadata.string('general.architecture');
    const number = (key: string) => metadata.number(`${arch}.${key}`);
    const numberOrNull = (key: string) => (metadata.has(`${arch}.${key}`) ? number(key) : null);
    const hasWideScores = number('block_count') === WIDE_SCORES[generation];
    return {
      ...gemmaConfig(metadata, has),
      attn_logit_softcapping: numberOrNull('attn_logit_softcapping'),
      final_logit_softcapping: numberOrNull('final_logit_softcapping'),
      query_pre_attn_scalar: hasWideScores
        ? number('embedding_length') / number('attention.head_count')
        : number('attention.key_length'),
      sliding_window: number('attention.sliding_window'),
      ...(generation === 3 && {
        rope_local_base_freq: metadata.number(`${arch}.rope.freq_base_swa`, GEMMA3_LOCAL_THETA),
        sliding_window_pattern: 6,
      }),
    };
  };

const gemmaConfig = (
  metadata: Metadata,
  has: (tensor: string) => boolean,
): Readonly<Record<string, unknown>> => ({
  ...gatedConfig(metadata, has),
  hidden_act: 'gelu_pytorch_tanh',
  hidden_activation: 'gelu_pytorch_tanh',
});

const plusOneNorms: GgufFamily['storage'] = (name) =>
  name.endsWith('norm.weight') ? 'plus_one' : 'plain';

const FOUR_NORMS_PARTS = new Map([
  ...LLAMA_PARTS,
  ...OUTPUT_NORM_PARTS,
  ['ffn_norm', 'pre_feedforward_layernorm'],
]);

const gemma = (generation: Generation) => ({
  tasks: DECODER_TASKS,
  spec: (reader: ConfigReader, options: SpecOptions) => specOf(reader, options, generation),
  renames: [],
});

export const gemmaFamilies: Readonly<Record<string, Family>> = {
  gemma: {
    ...gemma(1),
    transformersClass: 'Gemma',
    mlx: true,
    gguf: llamaLikeGguf('gemma', { storage: plusOneNorms, config: gemmaConfig }),
  },
  gemma2: {
    ...gemma(2),
    transformersClass: 'Gemma2',
    mlx: true,
    gguf: llamaLikeGguf('gemma2', {
      storage: plusOneNorms,
      config: laterConfig(2),
      parts: FOUR_NORMS_PARTS,
    }),
  },
  gemma3_text: {
    ...gemma(3),
    tasks: GENERATION_TASKS,
    transformersClass: 'Gemma3',
    taskClasses: {
      seq_cls: 'Gemma3TextForSequenceClassification',
      embedding: 'Gemma3TextModel',
    },
    mlx: true,
    gguf: llamaLikeGguf('gemma3', {
      model_type: 'gemma3_text',
      storage: plusOneNorms,
      config: laterConfig(3),
      parts: FOUR_NORMS_PARTS,
    }),
  },
};
