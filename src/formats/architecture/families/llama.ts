import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
import { readRope } from '../rope';
import { linear, NO_NORMS, readActivation, readSizes, rmsNorm, type Sizes } from '../sizes';
import type { AttentionSpec, LayerNorms, LayerSpec, MlpSpec, NormSpec, Spec } from '../spec';

/** How a family differs from Llama. */
interface Variant {
  readonly qkv_bias: (reader: ConfigReader) => boolean;
  readonly o_bias: (reader: ConfigReader) => boolean;
  readonly mlp_bias?: (reader: ConfigReader) => boolean;
  readonly window: (reader: ConfigReader, layer: number, layers: number) => number | null;
  readonly qk_norm?: 'head' | 'all';
  /** Norms on what the branches give instead of on what they read. */
  readonly norms?: 'out';
  readonly rope?: (reader: ConfigReader, layer: number, layers: number) => boolean;
  readonly theta?: number;
  readonly tied?: boolean;
  readonly activation?: string;
}

const biased = (reader: ConfigReader) => reader.flag('attention_bias');
const never = () => false;
const windowSize = (reader: ConfigReader) =>
  reader.raw('sliding_window') === undefined ? null : reader.count('sliding_window');
const slides = (reader: ConfigReader, layer: number, layers: number) =>
  reader.list('layer_types', layers)?.[layer] === 'sliding_attention';

/**
 * transformers' Qwen configs: layer_types decides; older files have use_sliding_window and
 * max_window_layers.
 */
function qwenWindow(reader: ConfigReader, layer: number, layers: number): number | null {
  const sliding = reader.list('layer_types', layers)
    ? slides(reader, layer, layers)
    : reader.flag('use_sliding_window') && layer >= reader.whole('max_window_layers', 28);
  return sliding ? windowSize(reader) : null;
}

const VARIANTS = {
  llama: {
    qkv_bias: biased,
    o_bias: biased,
    mlp_bias: (reader) => reader.flag('mlp_bias'),
    window: () => null,
  },
  mistral: { qkv_bias: never, o_bias: never, window: windowSize },
  qwen2: { qkv_bias: () => true, o_bias: never, window: qwenWindow },
  qwen3: { qkv_bias: biased, o_bias: biased, window: qwenWindow, qk_norm: 'head' },
  olmo2: { qkv_bias: biased, o_bias: biased, window: () => null, qk_norm: 'all', norms: 'out' },
  smollm3: {
    qkv_bias: biased,
    o_bias: biased,
    mlp_bias: (reader) => reader.flag('mlp_bias'),
    theta: 2_000_000,
    tied: true,
    window: (reader, layer, layers) =>
      reader.flag('use_sliding_window') && slides(reader, layer, layers)
        ? windowSize(reader)
        : null,
    rope: (reader, layer, layers) => {
      const marks = reader.list('no_rope_layers', layers);
      return marks
        ? Boolean(marks[layer])
        : (layer + 1) % reader.count('no_rope_layer_interval', 4) !== 0;
    },
  },
} satisfies Readonly<Record<string, Variant>>;

function specOf(reader: ConfigReader, options: SpecOptions, variant: Variant): Spec {
  const sizes = readSizes(reader);
  const eps = reader.positive('rms_norm_eps', 1e-6);
  const { hidden_size, vocab_size, num_layers } = sizes;
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
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, eps, variant, i)),
    final_norm: rmsNorm('model.norm', hidden_size, eps),
    head: decoderHead(reader, options, hidden_size, vocab_size, null, 'lm_head', variant.tied),
  };
}

function layerOf(
  reader: ConfigReader,
  sizes: Sizes,
  eps: number,
  variant: Variant,
  i: number,
): LayerSpec {
  const at = `model.layers.${i}`;
  return {
    residual: 'sequential',
    attention: attentionOf(reader, sizes, eps, variant, i, `${at}.self_attn`),
    mlp: mlpOf(reader, sizes, variant, `${at}.mlp`),
    norms: normsOf(at, sizes, eps, variant),
  };
}

function attentionOf(
  reader: ConfigReader,
  sizes: Sizes,
  eps: number,
  variant: Variant,
  i: number,
  at: string,
): AttentionSpec {
  const { hidden_size, num_heads, num_kv_heads, head_dim, num_layers } = sizes;
  const [q, kv] = [num_heads * head_dim, num_kv_heads * head_dim];
  const bias = variant.qkv_bias(reader);
  const norm = (name: string, size: number): NormSpec => rmsNorm(`${at}.${name}`, size, eps);
  const { qk_norm: over } = variant;
  return {
    num_heads,
    num_kv_heads,
    head_dim,
    layout: 'separate',
    qkv: [
      linear(`${at}.q_proj`, hidden_size, q, bias),
      linear(`${at}.k_proj`, hidden_size, kv, bias),
      linear(`${at}.v_proj`, hidden_size, kv, bias),
    ],
    o: linear(`${at}.o_proj`, q, hidden_size, variant.o_bias(reader)),
    qk_norm:
      over === undefined
        ? null
        : {
            over,
            q: norm('q_norm', over === 'head' ? head_dim : q),
            k: norm('k_norm', over === 'head' ? head_dim : kv),
          },
    rope:
      variant.rope && !variant.rope(reader, i, num_layers)
        ? null
        : readRope(reader, {
            head_dim,
            ...(variant.theta !== undefined && { theta: variant.theta }),
          }),
    scale: 1 / Math.sqrt(head_dim),
    window: variant.window(reader, i, num_layers),
    softcap: null,
  };
}

function mlpOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size }: Sizes,
  variant: Variant,
  at: string,
): MlpSpec {
  const bias = variant.mlp_bias?.(reader) ?? false;
  return {
    kind: 'gated',
    activation: readActivation(reader, 'silu'),
    gate: linear(`${at}.gate_proj`, hidden_size, intermediate_size, bias),
    up: linear(`${at}.up_proj`, hidden_size, intermediate_size, bias),
    down: linear(`${at}.down_proj`, intermediate_size, hidden_size, bias),
  };
}

function normsOf(at: string, { hidden_size }: Sizes, eps: number, { norms }: Variant): LayerNorms {
  const norm = (name: string) => rmsNorm(`${at}.${name}`, hidden_size, eps);
  if (norms === 'out')
    return {
      ...NO_NORMS,
      attention_out: norm('post_attention_layernorm'),
      mlp_out: norm('post_feedforward_layernorm'),
    };
  return {
    ...NO_NORMS,
    attention_in: norm('input_layernorm'),
    mlp_in: norm('post_attention_layernorm'),
  };
}

const family = (variant: Variant): Family => ({
  tasks: DECODER_TASKS,
  spec: (reader, options) => specOf(reader, options, variant),
  renames: [],
});

export const llamaFamilies: Readonly<Record<string, Family>> = Object.fromEntries(
  Object.entries(VARIANTS).map(([name, variant]) => [name, family(variant)]),
);
