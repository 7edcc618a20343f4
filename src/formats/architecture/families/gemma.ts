import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
import { readRope } from '../rope';
import { linear, NO_NORMS, readActivation, readSizes, rmsNorm, type Sizes } from '../sizes';
import type { AttentionSpec, LayerNorms, LayerSpec, RopeSpec, Spec } from '../spec';

type Generation = 1 | 2 | 3;

function specOf(reader: ConfigReader, options: SpecOptions, generation: Generation): Spec {
  if (reader.raw('use_bidirectional_attention') === true)
    throw reader.bad('use_bidirectional_attention', 'is true, which is not supported');
  const sizes = readSizes(reader);
  const eps = reader.positive('rms_norm_eps', 1e-6);
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
      tokens: { path: 'model.embed_tokens', rows: vocab_size },
      scale: Math.sqrt(hidden_size),
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) =>
      layerOf(reader, sizes, eps, generation, i),
    ),
    final_norm: rmsNorm('model.norm', hidden_size, eps, true),
    head: decoderHead(reader, options, hidden_size, vocab_size, softcap, 'lm_head', true),
  };
}

function layerOf(
  reader: ConfigReader,
  sizes: Sizes,
  eps: number,
  generation: Generation,
  i: number,
): LayerSpec {
  const { hidden_size, intermediate_size } = sizes;
  const at = `model.layers.${i}`;
  return {
    residual: 'sequential',
    attention: attentionOf(reader, sizes, eps, generation, i, `${at}.self_attn`),
    norms: normsOf(at, hidden_size, eps, generation),
    mlp: {
      kind: 'gated',
      activation: readActivation(reader, 'gelu_pytorch_tanh'),
      gate: linear(`${at}.mlp.gate_proj`, hidden_size, intermediate_size),
      up: linear(`${at}.mlp.up_proj`, hidden_size, intermediate_size),
      down: linear(`${at}.mlp.down_proj`, intermediate_size, hidden_size),
    },
  };
}

function attentionOf(
  reader: ConfigReader,
  sizes: Sizes,
  eps: number,
  generation: Generation,
  i: number,
  at: string,
): AttentionSpec {
  const { hidden_size, num_heads, num_kv_heads, head_dim } = sizes;
  const bias = reader.flag('attention_bias');
  const sliding = isSliding(reader, generation, i, sizes.num_layers);
  return {
    num_heads,
    num_kv_heads,
    head_dim,
    layout: 'separate',
    qkv: ['q_proj', 'k_proj', 'v_proj'].map((name, part) =>
      linear(
        `${at}.${name}`,
        hidden_size,
        (part === 0 ? num_heads : num_kv_heads) * head_dim,
        bias,
      ),
    ),
    o: linear(`${at}.o_proj`, num_heads * head_dim, hidden_size, bias),
    qk_norm:
      generation === 3
        ? {
            over: 'head',
            q: rmsNorm(`${at}.q_norm`, head_dim, eps, true),
            k: rmsNorm(`${at}.k_norm`, head_dim, eps, true),
          }
        : null,
    rope: ropeOf(reader, head_dim, generation, sliding),
    scale:
      1 / Math.sqrt(generation === 1 ? head_dim : reader.positive('query_pre_attn_scalar', 256)),
    window: sliding ? reader.count('sliding_window', 4096) : null,
    softcap: generation === 1 ? null : reader.positiveOrNull('attn_logit_softcapping'),
  };
}

/** Gemma 2: every second layer, from the first. Gemma 3: all but every sixth. */
function isSliding(
  reader: ConfigReader,
  generation: Generation,
  i: number,
  layers: number,
): boolean {
  if (generation === 1) return false;
  const types = reader.list('layer_types', layers);
  if (types) return types[i] === 'sliding_attention';
  return (i + 1) % (generation === 2 ? 2 : reader.count('sliding_window_pattern', 6)) !== 0;
}

/**
 * Gemma 3 turns with another base in its sliding layers. Older configs call that
 * rope_local_base_freq, and scale only the others.
 */
function ropeOf(
  reader: ConfigReader,
  head_dim: number,
  generation: Generation,
  sliding: boolean,
): RopeSpec {
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

function normsOf(at: string, hidden_size: number, eps: number, generation: Generation): LayerNorms {
  const norm = (name: string) => rmsNorm(`${at}.${name}`, hidden_size, eps, true);
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

const family = (generation: Generation): Family => ({
  tasks: DECODER_TASKS,
  spec: (reader, options) => specOf(reader, options, generation),
  renames: [],
});

export const gemmaFamilies: Readonly<Record<string, Family>> = {
  gemma: family(1),
  gemma2: family(2),
  gemma3_text: family(3),
};
