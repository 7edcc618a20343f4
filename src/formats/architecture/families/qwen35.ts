import { LLAMA_PARTS, llamaLikeGguf, type GgufFamily, type GgufStorage } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { decoderHead, GENERATION_TASKS } from '../heads';
import { readRope } from '../rope';
import {
  linear,
  MAX_LAYERS,
  NO_NORMS,
  readActivation,
  readSizes,
  rmsNorm,
  type Sizes,
  tokenTable,
} from '../sizes';
import type { AttentionSpec, DeltaSpec, LayerSpec, Spec } from '../spec';

// Qwen 3.5: layers with the gated delta rule, and every few layers one with gated attention.

interface Model {
  readonly reader: ConfigReader;
  readonly sizes: Sizes;
  readonly eps: number;
}

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader, 'tokens', 256);
  const { hidden_size, vocab_size, num_layers } = sizes;
  const model: Model = { reader, sizes, eps: reader.positive('rms_norm_eps', 1e-6) };
  return {
    family: 'qwen3_5_text',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size),
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(model, i)),
    final_norm: rmsNorm('model.norm', hidden_size, model.eps, true),
    head: decoderHead(reader, options, { hidden_size, vocab_size }),
  };
}

/** By layer_types; else every fourth layer, or every full_attention_interval-th. */
function hasAttention({ reader, sizes: { num_layers } }: Model, i: number): boolean {
  const types = reader.list('layer_types', num_layers);
  if (!types) return (i + 1) % reader.count('full_attention_interval', 4) === 0;
  const type = types[i];
  if (type !== 'full_attention' && type !== 'linear_attention')
    throw reader.bad(
      'layer_types',
      `must list "linear_attention" or "full_attention", not ${JSON.stringify(type)}`,
    );
  return type === 'full_attention';
}

function layerOf(model: Model, i: number): LayerSpec {
  const { reader, sizes, eps } = model;
  const { hidden_size, intermediate_size } = sizes;
  const at = `model.layers.${i}`;
  return {
    residual: 'sequential',
    attention: hasAttention(model, i)
      ? attentionOf(model, `${at}.self_attn`)
      : deltaOf(model, `${at}.linear_attn`),
    mlp: {
      kind: 'gated',
      activation: readActivation(reader, 'silu'),
      gate: linear(`${at}.mlp.gate_proj`, hidden_size, intermediate_size),
      up: linear(`${at}.mlp.up_proj`, hidden_size, intermediate_size),
      down: linear(`${at}.mlp.down_proj`, intermediate_size, hidden_size),
    },
    norms: {
      ...NO_NORMS,
      attention_in: rmsNorm(`${at}.input_layernorm`, hidden_size, eps, true),
      mlp_in: rmsNorm(`${at}.post_attention_layernorm`, hidden_size, eps, true),
    },
  };
}

/** What all layers have; those with linear attention make no use of it. */
const commonOf = ({ reader, sizes: { num_heads, num_kv_heads, head_dim } }: Model) => ({
  num_heads,
  num_kv_heads,
  head_dim,
  layout: 'separate' as const,
  // of text alone, the three rotary positions of a token are one
  rope: readRope(reader, { head_dim, partial: 0.25 }),
  scale: 1 / Math.sqrt(head_dim),
  window: null,
  softcap: null,
});

function attentionOf(model: Model, at: string): AttentionSpec {
  const { reader, sizes, eps } = model;
  const { hidden_size, num_heads, num_kv_heads, head_dim } = sizes;
  const [q_size, kv_size] = [num_heads * head_dim, num_kv_heads * head_dim];
  const bias = reader.flag('attention_bias');
  return {
    ...commonOf(model),
    qkv: [
      linear(`${at}.q_proj`, hidden_size, 2 * q_size, bias),
      linear(`${at}.k_proj`, hidden_size, kv_size, bias),
      linear(`${at}.v_proj`, hidden_size, kv_size, bias),
    ],
    gated: true,
    o: linear(`${at}.o_proj`, q_size, hidden_size, bias),
    qk_norm: {
      over: 'head',
      q: rmsNorm(`${at}.q_norm`, head_dim, eps, true),
      k: rmsNorm(`${at}.k_norm`, head_dim, eps, true),
    },
  };
}

function deltaOf(model: Model, at: string): AttentionSpec {
  const {
    reader,
    sizes: { hidden_size },
    eps,
  } = model;
  if (readActivation(reader, 'silu') !== 'silu')
    throw reader.bad(
      'hidden_act',
      'must be "silu": others are not supported with linear attention',
    );
  const sizes = deltaSizes(reader);
  const [keys, values] = [sizes.key_heads * sizes.key_dim, sizes.value_heads * sizes.value_dim];
  const channels = 2 * keys + values;
  return {
    ...commonOf(model),
    qkv: [
      linear(`${at}.in_proj_qkv`, hidden_size, channels),
      linear(`${at}.in_proj_z`, hidden_size, values),
      linear(`${at}.in_proj_b`, hidden_size, sizes.value_heads),
      linear(`${at}.in_proj_a`, hidden_size, sizes.value_heads),
    ],
    o: linear(`${at}.out_proj`, values, hidden_size),
    qk_norm: null,
    delta: {
      ...sizes,
      convolution: {
        path: `${at}.conv1d`,
        channels,
        kernel: reader.count('linear_conv_kernel_dim', 4, 64),
        bias: false,
      },
      decay_log: `${at}.A_log`,
      decay_bias: `${at}.dt_bias`,
      norm: rmsNorm(`${at}.norm`, sizes.value_dim, eps),
    },
  };
}

function deltaSizes(
  reader: ConfigReader,
): Pick<DeltaSpec, 'key_heads' | 'value_heads' | 'key_dim' | 'value_dim'> {
  const key_heads = reader.count('linear_num_key_heads', 16);
  const value_heads = reader.count('linear_num_value_heads', 32);
  if (value_heads % key_heads !== 0)
    throw reader.bad(
      'linear_num_key_heads',
      `${key_heads} does not divide linear_num_value_heads = ${value_heads}`,
    );
  return {
    key_heads,
    value_heads,
    key_dim: reader.count('linear_key_head_dim', 128),
    value_dim: reader.count('linear_value_head_dim', 128),
  };
}

/** How GGUF files store what layers with linear attention have. */
const LINEAR_STORAGE: readonly (readonly [name: RegExp, storage: GgufStorage])[] = [
  [/in_proj_(?:qkv|z)\.weight$/, 'value_heads'],
  [/in_proj_[ab]\.weight$|dt_bias$/, 'value_numbers'],
  [/out_proj\.weight$/, 'value_columns'],
  [/conv1d\.weight$/, 'value_channels'],
  [/A_log$/, 'decays'],
];

function qwen35Storage(name: string): GgufStorage {
  if (name.includes('.linear_attn.'))
    return LINEAR_STORAGE.find(([own]) => own.test(name))?.[1] ?? 'plain';
  return name.endsWith('norm.weight') ? 'plus_one' : 'plain';
}

const NEXT_LAYERS = 'qwen35.nextn_predict_layers';

/** Which layers have linear attention is seen by their tensors. */
const QWEN35_GGUF: GgufFamily = llamaLikeGguf('qwen35', {
  model_type: 'qwen3_5_text',
  parts: new Map([
    ...LLAMA_PARTS.filter(([part]) => part !== 'ffn_norm'),
    ['post_attention_norm', 'post_attention_layernorm'],
    ['attn_qkv', 'linear_attn.in_proj_qkv'],
    ['attn_gate', 'linear_attn.in_proj_z'],
    ['ssm_beta', 'linear_attn.in_proj_b'],
    ['ssm_alpha', 'linear_attn.in_proj_a'],
    ['ssm_conv1d', 'linear_attn.conv1d'],
    ['ssm_norm', 'linear_attn.norm'],
    ['ssm_out', 'linear_attn.out_proj'],
  ]),
  tensors: new Map([
    ['ssm_a', 'linear_attn.A_log'],
    ['ssm_dt.bias', 'linear_attn.dt_bias'],
  ]),
  partial_rotary: true,
  storage: qwen35Storage,
  extra_layers: (metadata) => metadata.number(NEXT_LAYERS, 0),
  config: (metadata, has) => {
    const at = (key: string) => metadata.number(`qwen35.${key}`);
    const value_heads = at('ssm.time_step_rank');
    const count = Math.min(at('block_count') - metadata.number(NEXT_LAYERS, 0), MAX_LAYERS);
    const layers = [...Array(Math.max(0, count)).keys()];
    return {
      hidden_act: 'silu',
      attention_bias: layers.some((i) => has(`blk.${i}.attn_q.bias`)),
      layer_types: layers.map((i) =>
        has(`blk.${i}.ssm_a`) ? 'linear_attention' : 'full_attention',
      ),
      linear_conv_kernel_dim: at('ssm.conv_kernel'),
      linear_num_key_heads: at('ssm.group_count'),
      linear_key_head_dim: at('ssm.state_size'),
      linear_num_value_heads: value_heads,
      linear_value_head_dim: at('ssm.inner_size') / value_heads,
    };
  },
});

export const qwen35Families: Readonly<Record<string, Family>> = {
  qwen3_5_text: {
    tasks: GENERATION_TASKS,
    spec: specOf,
    renames: [],
    transformersClass: 'Qwen3_5',
    taskClasses: { seq_cls: 'Qwen3_5TextForSequenceClassification' },
    mlx: 'within',
    gguf: QWEN35_GGUF,
  },
};
