import type { GgufFamily } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { decoderHead } from '../heads';
import { readRope } from '../rope';
import { linear, NO_NORMS, readSizes, rmsNorm, type Sizes, tokenTable } from '../sizes';
import type { AttentionSpec, LayerSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = { ...readSizes(reader), intermediate_size: innerSize(reader) };
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    family: 'lfm2',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size, 0),
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, i)),
    final_norm: rmsNorm('model.embedding_norm', hidden_size, epsOf(reader)),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      tied_by_default: reader.flag('tie_embedding', true), // the name in older configs
    }),
  };
}

const epsOf = (reader: ConfigReader) => reader.positive('norm_eps', 1e-5);

/** Width of the MLPs: by default two thirds of the configured one, rounded up. */
function innerSize(reader: ConfigReader): number {
  const configured = reader.count(['block_ff_dim', 'intermediate_size'], 12_288);
  if (!reader.flag('block_auto_adjust_ff_dim', true)) return configured;
  const reduced = Math.trunc((2 * configured) / 3);
  const factor = reader.positiveOrNull('block_ffn_dim_multiplier');
  const multiple = reader.count('block_multiple_of', 256);
  const isGiven = reader.config['block_ffn_dim_multiplier'] !== null;
  return isGiven ? multiple * Math.ceil(Math.trunc((factor ?? 1) * reduced) / multiple) : reduced;
}

/** By layer_types; older configs list the numbers of the layers with attention. */
function hasAttention(reader: ConfigReader, { num_layers }: Sizes, i: number): boolean {
  const types = reader.list('layer_types', num_layers);
  if (types) return types[i] !== 'conv';
  const numbers = reader.raw('full_attn_idxs');
  if (numbers === undefined) return true;
  if (Array.isArray(numbers)) return numbers.includes(i);
  throw reader.bad('full_attn_idxs', 'must list numbers of layers');
}

function layerOf(reader: ConfigReader, sizes: Sizes, i: number): LayerSpec {
  const { hidden_size, intermediate_size } = sizes;
  const at = `model.layers.${i}`;
  const attention = attentionOf(reader, sizes, at);
  const eps = epsOf(reader);
  return {
    residual: 'sequential',
    attention: hasAttention(reader, sizes, i)
      ? attention
      : convolutionOf(reader, attention, { at, hidden_size }),
    mlp: {
      kind: 'gated',
      activation: 'silu',
      gate: linear(`${at}.feed_forward.w1`, hidden_size, intermediate_size),
      up: linear(`${at}.feed_forward.w3`, hidden_size, intermediate_size),
      down: linear(`${at}.feed_forward.w2`, intermediate_size, hidden_size),
    },
    norms: {
      ...NO_NORMS,
      attention_in: rmsNorm(`${at}.operator_norm`, hidden_size, eps),
      mlp_in: rmsNorm(`${at}.ffn_norm`, hidden_size, eps),
    },
  };
}

function attentionOf(reader: ConfigReader, sizes: Sizes, layer: string): AttentionSpec {
  const { hidden_size, num_heads, num_kv_heads, head_dim } = sizes;
  const [q_size, kv_size] = [num_heads * head_dim, num_kv_heads * head_dim];
  const at = `${layer}.self_attn`;
  const eps = epsOf(reader);
  return {
    num_heads,
    num_kv_heads,
    head_dim,
    layout: 'separate',
    qkv: [
      linear(`${at}.q_proj`, hidden_size, q_size),
      linear(`${at}.k_proj`, hidden_size, kv_size),
      linear(`${at}.v_proj`, hidden_size, kv_size),
    ],
    o: linear(`${at}.out_proj`, q_size, hidden_size),
    qk_norm: {
      over: 'head',
      q: rmsNorm(`${at}.q_layernorm`, head_dim, eps),
      k: rmsNorm(`${at}.k_layernorm`, head_dim, eps),
    },
    rope: readRope(reader, { head_dim, theta: 1_000_000 }),
    scale: 1 / Math.sqrt(head_dim),
    window: null,
    softcap: null,
  };
}

function convolutionOf(
  reader: ConfigReader,
  attention: AttentionSpec,
  { at, hidden_size }: { readonly at: string; readonly hidden_size: number },
): AttentionSpec {
  const bias = reader.flag('conv_bias');
  return {
    ...attention,
    qkv: [linear(`${at}.conv.in_proj`, hidden_size, 3 * hidden_size, bias)],
    o: linear(`${at}.conv.out_proj`, hidden_size, hidden_size, bias),
    qk_norm: null,
    convolution: {
      path: `${at}.conv.conv`,
      channels: hidden_size,
      kernel: reader.count('conv_L_cache', 3, 64),
      bias,
    },
  };
}

/** Layers without heads of keys are convolutions. */
const LFM2_GGUF: GgufFamily = {
  arch: 'lfm2',
  model_type: 'lfm2',
  top: new Map([
    ['token_embd.weight', 'model.embed_tokens.weight'],
    ['token_embd_norm.weight', 'model.embedding_norm.weight'],
    ['output.weight', 'lm_head.weight'],
  ]),
  layers: 'model.layers',
  parts: new Map([
    ['attn_norm', 'operator_norm'],
    ['attn_q', 'self_attn.q_proj'],
    ['attn_k', 'self_attn.k_proj'],
    ['attn_v', 'self_attn.v_proj'],
    ['attn_output', 'self_attn.out_proj'],
    ['attn_q_norm', 'self_attn.q_layernorm'],
    ['attn_k_norm', 'self_attn.k_layernorm'],
    ['shortconv.in_proj', 'conv.in_proj'],
    ['shortconv.conv', 'conv.conv'],
    ['shortconv.out_proj', 'conv.out_proj'],
    ['ffn_norm', 'ffn_norm'],
    ['ffn_gate', 'feed_forward.w1'],
    ['ffn_up', 'feed_forward.w3'],
    ['ffn_down', 'feed_forward.w2'],
  ]),
  partial_rotary: false,
  storage: (name) => (name.endsWith('.conv.conv.weight') ? 'squeezed' : 'plain'),
  config: (metadata, has) => ({
    layer_types: metadata
      .numbers('lfm2.attention.head_count_kv')
      .map((heads) => (heads === 0 ? 'conv' : 'full_attention')),
    conv_L_cache: metadata.number('lfm2.shortconv.l_cache'),
    conv_bias: has('blk.0.shortconv.in_proj.bias'),
    norm_eps: metadata.decimal('lfm2.attention.layer_norm_rms_epsilon', 1e-5),
    block_auto_adjust_ff_dim: false,
  }),
};

export const lfm2Families: Readonly<Record<string, Family>> = {
  lfm2: {
    tasks: ['causal_lm'],
    spec: specOf,
    renames: [],
    transformersClass: 'Lfm2',
    mlx: true,
    gguf: LFM2_GGUF,
  },
};
