import { LLAMA_PARTS, llamaLikeGguf, OUTPUT_NORM_PARTS, rotaryStorage } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead, GENERATION_TASKS } from '../heads';
import { readRope } from '../rope';
import { linear, NO_NORMS, readActivation, readSizes, rmsNorm, type Sizes } from '../sizes';
import type { AttentionSpec, LayerNorms, LayerSpec, MlpSpec, Spec } from '../spec';

/** How a family differs from the others that are built like Llama. */
interface Variant {
  readonly qkv_bias: (reader: ConfigReader) => boolean;
  readonly o_bias: (reader: ConfigReader) => boolean;
  readonly mlp_bias?: (reader: ConfigReader) => boolean;
  /** The attention window of a layer; null: unlimited. */
  readonly window: (reader: ConfigReader, layer: number, num_layers: number) => number | null;
  /** Norms of queries and keys: over each head, or over all heads together. */
  readonly qk_norm?: 'head' | 'all';
  /** Norms of the branches' outputs instead of their inputs. */
  readonly output_norms?: boolean;
  /** Whether a layer has rotary embeddings; all layers by default. */
  readonly rope?: (reader: ConfigReader, layer: number, num_layers: number) => boolean;
  /** The default rope_theta. */
  readonly theta?: number;
  /** Whether the output layer is tied by default. */
  readonly tied?: boolean;
}

/** A model that is being described. */
interface LlamaModel {
  readonly reader: ConfigReader;
  readonly variant: Variant;
  readonly sizes: Sizes;
  /** Epsilon of the norms. */
  readonly eps: number;
}

const attentionBias = (reader: ConfigReader) => reader.flag('attention_bias');
const mlpBias = (reader: ConfigReader) => reader.flag('mlp_bias');
const always = () => true;
const never = () => false;
const unlimited = () => null;

const windowSize = (reader: ConfigReader) =>
  reader.raw('sliding_window') === undefined ? null : reader.count('sliding_window');

const isSlidingType = (reader: ConfigReader, layer: number, num_layers: number) =>
  reader.list('layer_types', num_layers)?.[layer] === 'sliding_attention';

/** By layer_types; older configs have use_sliding_window and max_window_layers instead. */
function qwenWindow(reader: ConfigReader, layer: number, num_layers: number): number | null {
  const isSliding = reader.list('layer_types', num_layers)
    ? isSlidingType(reader, layer, num_layers)
    : reader.flag('use_sliding_window') && layer >= reader.whole('max_window_layers', 28);
  return isSliding ? windowSize(reader) : null;
}

function smollm3Window(reader: ConfigReader, layer: number, num_layers: number): number | null {
  const isSliding = reader.flag('use_sliding_window') && isSlidingType(reader, layer, num_layers);
  return isSliding ? windowSize(reader) : null;
}

/** Every fourth layer has no rotary embeddings, unless the config lists the layers that have. */
function smollm3Rope(reader: ConfigReader, layer: number, num_layers: number): boolean {
  const hasRope = reader.list('no_rope_layers', num_layers);
  if (hasRope) return Boolean(hasRope[layer]);
  return (layer + 1) % reader.count('no_rope_layer_interval', 4) !== 0;
}

function specOf(reader: ConfigReader, options: SpecOptions, variant: Variant): Spec {
  const sizes = readSizes(reader);
  const model: LlamaModel = {
    reader,
    variant,
    sizes,
    eps: reader.positive('rms_norm_eps', 1e-6),
  };
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
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(model, i)),
    final_norm: rmsNorm('model.norm', hidden_size, model.eps),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      tied_by_default: variant.tied ?? false,
    }),
  };
}

const layerOf = (model: LlamaModel, i: number): LayerSpec => ({
  residual: 'sequential',
  attention: attentionOf(model, i),
  mlp: mlpOf(model, i),
  norms: normsOf(model, i),
});

function attentionOf({ reader, variant, sizes, eps }: LlamaModel, i: number): AttentionSpec {
  const prefix = `model.layers.${i}.self_attn`;
  const { hidden_size, num_heads, num_kv_heads, head_dim, num_layers } = sizes;
  const [q_size, kv_size] = [num_heads * head_dim, num_kv_heads * head_dim];
  const bias = variant.qkv_bias(reader);
  const hasRope = variant.rope?.(reader, i, num_layers) ?? true;
  const { theta, qk_norm } = variant;
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
    o: linear(`${prefix}.o_proj`, q_size, hidden_size, variant.o_bias(reader)),
    qk_norm: qk_norm
      ? {
          over: qk_norm,
          q: rmsNorm(`${prefix}.q_norm`, qk_norm === 'head' ? head_dim : q_size, eps),
          k: rmsNorm(`${prefix}.k_norm`, qk_norm === 'head' ? head_dim : kv_size, eps),
        }
      : null,
    rope: hasRope ? readRope(reader, { head_dim, ...(theta !== undefined && { theta }) }) : null,
    scale: 1 / Math.sqrt(head_dim),
    window: variant.window(reader, i, num_layers),
    softcap: null,
  };
}

function mlpOf({ reader, variant, sizes }: LlamaModel, i: number): MlpSpec {
  const prefix = `model.layers.${i}.mlp`;
  const { hidden_size, intermediate_size } = sizes;
  const bias = variant.mlp_bias?.(reader) ?? false;
  return {
    kind: 'gated',
    activation: readActivation(reader, 'silu'),
    gate: linear(`${prefix}.gate_proj`, hidden_size, intermediate_size, bias),
    up: linear(`${prefix}.up_proj`, hidden_size, intermediate_size, bias),
    down: linear(`${prefix}.down_proj`, intermediate_size, hidden_size, bias),
  };
}

function normsOf({ variant, sizes, eps }: LlamaModel, i: number): LayerNorms {
  const norm = (name: string) => rmsNorm(`model.layers.${i}.${name}`, sizes.hidden_size, eps);
  if (variant.output_norms)
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

const llamaLike = (variant: Variant) => ({
  tasks: DECODER_TASKS,
  spec: (reader: ConfigReader, options: SpecOptions) => specOf(reader, options, variant),
  renames: [],
});

const LLAMA_GGUF = llamaLikeGguf('llama', { storage: rotaryStorage });

export const llamaFamilies: Readonly<Record<string, Family>> = {
  llama: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      mlp_bias: mlpBias,
      window: unlimited,
    }),
    transformersClass: 'Llama',
    mlx: true,
    gguf: LLAMA_GGUF,
  },
  mistral: {
    ...llamaLike({ qkv_bias: never, o_bias: never, window: windowSize }),
    transformersClass: 'Mistral',
    mlx: true,
    gguf: LLAMA_GGUF, // llama.cpp doesn't distinguish the two
  },
  qwen2: {
    ...llamaLike({ qkv_bias: always, o_bias: never, window: qwenWindow }),
    transformersClass: 'Qwen2',
    mlx: true,
    gguf: llamaLikeGguf('qwen2'),
  },
  qwen3: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: qwenWindow,
      qk_norm: 'head',
    }),
    transformersClass: 'Qwen3',
    mlx: true,
    gguf: llamaLikeGguf('qwen3'),
  },
  olmo2: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: unlimited,
      qk_norm: 'all',
      output_norms: true,
    }),
    tasks: GENERATION_TASKS,
    transformersClass: 'Olmo2',
    mlx: true,
    gguf: llamaLikeGguf('olmo2', {
      parts: new Map([
        ...LLAMA_PARTS.filter(([, path]) => !path.endsWith('layernorm')),
        ...OUTPUT_NORM_PARTS,
      ]),
    }),
  },
  smollm3: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      mlp_bias: mlpBias,
      window: smollm3Window,
      rope: smollm3Rope,
      theta: 2_000_000,
      tied: true,
    }),
    transformersClass: 'SmolLM3',
    mlx: true,
    gguf: llamaLikeGguf('smollm3', { storage: rotaryStorage }),
  },
};
