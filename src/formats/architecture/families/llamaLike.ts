import type { ConfigReader } from '../config';
import type { SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
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
import type {
  AttentionSpec,
  LayerNorms,
  LayerSpec,
  MixtureSpec,
  MlpSpec,
  RopeSpec,
  Spec,
} from '../spec';

/** Names of a layer's norms within it. */
type NormNames = Readonly<Partial<Record<keyof LayerNorms, string>>>;

/** Of the branches' inputs (Llama). */
const INPUT_NORMS: NormNames = {
  attention_in: 'input_layernorm',
  mlp_in: 'post_attention_layernorm',
};
/** Of the branches' outputs (OLMo 2). */
export const OUTPUT_NORMS: NormNames = {
  attention_out: 'post_attention_layernorm',
  mlp_out: 'post_feedforward_layernorm',
};

/** Factors that most models do not have (Granite). */
export interface Multipliers {
  readonly embedding: number;
  /** Of the attention scores, instead of 1/√head_dim. */
  readonly attention: number;
  /** Of each branch's output. */
  readonly residual: number;
  readonly logits: number;
}

/** How a family differs from the others that are built like Llama. */
export interface Variant {
  readonly qkv_bias: (reader: ConfigReader) => boolean;
  readonly o_bias: (reader: ConfigReader) => boolean;
  readonly mlp_bias?: (reader: ConfigReader) => boolean;
  /** The attention window of a layer; null: unlimited. */
  readonly window: (reader: ConfigReader, layer: number, num_layers: number) => number | null;
  /**
   * Norms of queries and keys: over each head, including after RoPE, or over all heads together.
   */
  readonly qk_norm?: 'head' | 'head_after_rope' | 'all';
  /** By default those of the branches' inputs. */
  readonly norms?: NormNames;
  /** The rotary embeddings of a layer; null: none. By default those of the config. */
  readonly rope?: (model: LlamaModel, layer: number) => RopeSpec | null;
  /** The default rope_theta. */
  readonly theta?: number;
  /** The default rms_norm_eps. */
  readonly eps?: number;
  /** The default pad_token_id; else there is none. */
  readonly padding?: number;
  /** The default head_dim; else hidden_size / num_attention_heads. */
  readonly head_dim?: number;
  /** Whether the output layer is tied by default. */
  readonly tied?: boolean;
  readonly multipliers?: (reader: ConfigReader) => Multipliers;
  /** Whether gate and up are one layer, gate_up_proj. */
  readonly fused_mlp?: boolean;
  /** Whether attention has sinks. */
  readonly sinks?: true;
  /** The MLP of a layer; null, as by default: a dense one. */
  readonly mixture?: (model: LlamaModel, layer: number) => MixtureSpec | null;
}

/** A model that is being described. */
export interface LlamaModel {
  readonly reader: ConfigReader;
  readonly variant: Variant;
  readonly sizes: Sizes;
  /** Epsilon of the norms. */
  readonly eps: number;
}

export const attentionBias = (reader: ConfigReader) => reader.flag('attention_bias');
export const mlpBias = (reader: ConfigReader) => reader.flag('mlp_bias');
export const always = () => true;
export const never = () => false;
export const unlimited = () => null;

export const windowSize = (reader: ConfigReader) =>
  reader.raw('sliding_window') === undefined ? null : reader.count('sliding_window');

export const isSlidingType = (reader: ConfigReader, layer: number, num_layers: number) =>
  reader.list('layer_types', num_layers)?.[layer] === 'sliding_attention';

function specOf(reader: ConfigReader, options: SpecOptions, variant: Variant): Spec {
  const sizes = readSizes(reader, 'tokens', variant.head_dim);
  const eps = reader.positive('rms_norm_eps', variant.eps ?? 1e-6);
  const model: LlamaModel = { reader, variant, sizes, eps };
  const { hidden_size, vocab_size, num_layers } = sizes;
  const multipliers = variant.multipliers?.(reader);
  return {
    family: String(reader.config['model_type']),
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size, variant.padding),
      scale: multipliers?.embedding ?? 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(model, i)),
    final_norm: rmsNorm('model.norm', hidden_size, eps),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      tied_by_default: variant.tied ?? false,
      scale: multipliers?.logits ?? 1,
    }),
  };
}

function layerOf(model: LlamaModel, i: number): LayerSpec {
  const { reader, variant } = model;
  const multipliers = variant.multipliers?.(reader);
  return {
    residual: 'sequential',
    attention: attentionOf(model, i),
    mlp: mlpOf(model, i),
    norms: normsOf(model, i),
    ...(multipliers && { branch_scale: multipliers.residual }),
  };
}

function attentionOf(model: LlamaModel, i: number): AttentionSpec {
  const { reader, variant, sizes } = model;
  const prefix = `model.layers.${i}.self_attn`;
  const { hidden_size, num_heads, num_kv_heads, head_dim, num_layers } = sizes;
  const [q_size, kv_size] = [num_heads * head_dim, num_kv_heads * head_dim];
  const bias = variant.qkv_bias(reader);
  const { qk_norm, rope = ropeOf } = variant;
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
    qk_norm: qk_norm ? qkNormOf(model, prefix, qk_norm) : null,
    rope: rope(model, i),
    scale: variant.multipliers?.(reader).attention ?? 1 / Math.sqrt(head_dim),
    window: variant.window(reader, i, num_layers),
    softcap: null,
    ...(variant.sinks && { sinks: `${prefix}.sinks` }),
  };
}

function qkNormOf(
  { sizes: { num_heads, num_kv_heads, head_dim }, eps }: LlamaModel,
  prefix: string,
  kind: 'head' | 'head_after_rope' | 'all',
): AttentionSpec['qk_norm'] {
  const norm = (name: string, heads: number) =>
    rmsNorm(`${prefix}.${name}`, kind === 'all' ? heads * head_dim : head_dim, eps);
  if (kind === 'head_after_rope')
    return {
      over: 'head',
      q: norm('query_layernorm', num_heads),
      k: norm('key_layernorm', num_kv_heads),
      after_rope: true,
    };
  return { over: kind, q: norm('q_norm', num_heads), k: norm('k_norm', num_kv_heads) };
}

/** The rotary embeddings of the config, for all layers alike. */
export const ropeOf = ({ reader, variant: { theta }, sizes: { head_dim } }: LlamaModel): RopeSpec =>
  readRope(reader, { head_dim, ...(theta !== undefined && { theta }) });

function mlpOf(model: LlamaModel, i: number): MlpSpec {
  const mixture = model.variant.mixture?.(model, i);
  if (mixture) return mixture;
  const { reader, variant, sizes } = model;
  const prefix = `model.layers.${i}.mlp`;
  const { hidden_size, intermediate_size } = sizes;
  const bias = variant.mlp_bias?.(reader) ?? false;
  const activation = readActivation(reader, 'silu');
  const down = linear(`${prefix}.down_proj`, intermediate_size, hidden_size, bias);
  if (variant.fused_mlp)
    return {
      kind: 'gated_fused',
      activation,
      gate_up: linear(`${prefix}.gate_up_proj`, hidden_size, 2 * intermediate_size, bias),
      down,
    };
  return {
    kind: 'gated',
    activation,
    gate: linear(`${prefix}.gate_proj`, hidden_size, intermediate_size, bias),
    up: linear(`${prefix}.up_proj`, hidden_size, intermediate_size, bias),
    down,
  };
}

function normsOf({ variant, sizes, eps }: LlamaModel, i: number): LayerNorms {
  const names = Object.entries(variant.norms ?? INPUT_NORMS);
  const norms = names.map(([place, name]) => [
    place,
    rmsNorm(`model.layers.${i}.${name}`, sizes.hidden_size, eps),
  ]);
  return { ...NO_NORMS, ...(Object.fromEntries(norms) as Partial<LayerNorms>) };
}

/** What the families that are built like Llama have in common. */
export const llamaLike = (variant: Variant) => ({
  tasks: DECODER_TASKS,
  spec: (reader: ConfigReader, options: SpecOptions) => specOf(reader, options, variant),
  renames: [],
});
