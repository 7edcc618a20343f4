import type { ModelTask } from '../../shared/task';
import type { Metadata } from './metadata';

/**
 * How a GGUF file stores a tensor, compared with the Hugging Face checkpoint:
 *
 * - plain: the same.
 * - rotary: rows 2i and 2i + 1 of a head are rows i and head_dim / 2 + i of the checkpoint.
 * - by_part: the queries of all heads, then the keys, then the values; the checkpoint has query,
 *   key and value of the first head, then those of the second, and so on.
 * - transposed: [out, in]; the checkpoint has [in, out].
 * - plus_one: 1 is added to each value.
 * - squeezed: without the axis in the middle, whose length is 1.
 * - value_heads: the rows of the value heads, which are the last ones, go from the first value head
 *   of each key head to the last ones; the checkpoint has the value heads of a key head together.
 * - value_numbers: the same with one row for each value head.
 * - value_columns: the same for columns.
 * - value_channels: as value_heads, and squeezed.
 * - decays: as value_numbers, and -exp(x) instead of x.
 * - after_padding: without the first two rows, which are zeros here: RoBERTa's positions begin
 *   after the id of padding, which is 1.
 *
 * Source: llama.cpp, convert_hf_to_gguf.py.
 */
export type GgufStorage =
  | 'plain'
  | 'rotary'
  | 'by_part'
  | 'transposed'
  | 'plus_one'
  | 'squeezed'
  | 'value_heads'
  | 'value_numbers'
  | 'value_columns'
  | 'value_channels'
  | 'decays'
  | 'after_padding';

type Config = Readonly<Record<string, unknown>>;

/** How GGUF files name the tensors of layers. */
export interface GgufLayers {
  /** What their names start with in the GGUF file. Not given: `blk`. */
  readonly prefix?: string;
  /** Path of the layers in the checkpoint. */
  readonly layers: string;
  /** Modules of a layer: name in the GGUF file to path in the checkpoint. */
  readonly parts: ReadonlyMap<string, string>;
  /** Other tensors of a layer, which are no weights or biases of modules, by their whole names. */
  readonly tensors?: ReadonlyMap<string, string>;
}

/** One of several families whose files have the same architecture. */
export interface GgufVariant {
  /** Whether a file is of it. */
  readonly isOf: (metadata: Metadata, has: (tensor: string) => boolean) => boolean;
  readonly family: GgufFamily;
}

/** How GGUF files name and store the models of a family. */
export interface GgufFamily extends GgufLayers {
  /** `general.architecture` */
  readonly arch: string;
  /** The `model_type` of config.json that a file of this architecture is read as. */
  readonly model_type: string;
  /** The tasks that its files can be used for. Not given: those of the family. */
  readonly tasks?: readonly ModelTask[];
  /** Tensors outside of the layers: name in the GGUF file to name in the checkpoint. */
  readonly top: ReadonlyMap<string, string>;
  /** Layers beside these: those of a decoder. */
  readonly more_layers?: readonly GgufLayers[];
  /** The family where MLPs have no gates. Not given: they have, or the names are the same. */
  readonly without_gates?: GgufFamily;
  /** Others with files of this architecture; the first that a file is of. Not given: none. */
  readonly variants?: readonly GgufVariant[];
  /**
   * The family of files with a classifier (cls.output) behind the encoder; a text: why such files
   * are refused. Not given: there are none.
   */
  readonly labels?: GgufFamily | string;
  /**
   * How the checkpoint has gate and up of experts, whose matrices are one tensor for all experts in
   * GGUF files: as modules of their own (halves), or as one whose rows are theirs in turn. Not
   * given: mixtures are refused.
   */
  readonly experts?: 'halves' | 'in_turn';
  /**
   * Paths of modules whose factors llama.cpp ignores, or applies otherwise than PEFT: adapters of
   * them cannot be stored for it. Not given: none.
   */
  readonly unapplied?: RegExp;
  /** Whether only a part of each head may be rotated by position. */
  readonly partial_rotary: boolean;
  /** By the tensor's name in the checkpoint. */
  readonly storage: (name: string) => GgufStorage;
  /** Keys of config.json that only this family has, or has with other values. */
  readonly config: (
    metadata: Metadata,
    has: (tensor: string) => boolean,
    vocab_size: number,
  ) => Config;
  /** The number of blocks after the layers that only predict further tokens. Not given: none. */
  readonly extra_layers?: (metadata: Metadata) => number;
  /** The rope_parameters, where they differ from those of most families. */
  readonly rope?: (metadata: Metadata, parameters: Config) => Config;
  /** All of the rope_parameters, given the divisors of frequencies that the file has. */
  readonly whole_rope?: (metadata: Metadata, freqs: Float32Array | null) => Config;
  /** Keys of YaRN's scaling that `rope` reads; others are refused where they have an effect. */
  readonly yarn_keys?: readonly string[];
}

/** Modules of a Llama's layer: names in GGUF files and paths in the checkpoint. */
export const LLAMA_PARTS: readonly (readonly [gguf: string, checkpoint: string])[] = [
  ['attn_norm', 'input_layernorm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
];

/** Norms of the branches' outputs (OLMo 2, Gemma 2). */
export const OUTPUT_NORM_PARTS: typeof LLAMA_PARTS = [
  ['post_attention_norm', 'post_attention_layernorm'],
  ['post_ffw_norm', 'post_feedforward_layernorm'],
];

/** Queries and keys are stored in rotary order (Llama). */
export const rotaryStorage = (name: string): GgufStorage =>
  /self_attn\.[qk]_proj\./.test(name) ? 'rotary' : 'plain';

/** Config keys of a model with gated MLPs; biases are found by the tensors that exist. */
export const gatedConfig = (_: Metadata, has: (tensor: string) => boolean): Config => ({
  hidden_act: 'silu',
  attention_bias: has('blk.0.attn_q.bias'),
  mlp_bias: has('blk.0.ffn_gate.bias'),
});

/** A Llama's parts with norms of the branches' outputs alone (OLMo 2, EXAONE 4). */
export const NORMS_AFTER_PARTS: ReadonlyMap<string, string> = new Map([
  ...LLAMA_PARTS.filter(([, path]) => !path.endsWith('layernorm')),
  ...OUTPUT_NORM_PARTS,
]);

/**
 * Config keys of a model some of whose layers see a window: a list of them, or every one but each
 * n-th, by default the fourth. Without a window: null, and no list.
 */
export function windowConfig(metadata: Metadata, arch: string): Config {
  const sliding_window = metadata.number(`${arch}.attention.sliding_window`, 0);
  if (sliding_window === 0) return { sliding_window: null };
  const key = `${arch}.attention.sliding_window_pattern`;
  if (!metadata.isList(key))
    return { sliding_window, sliding_window_pattern: metadata.number(key, 4) };
  const layer_types = metadata
    .booleans(key)
    .map((isSliding) => (isSliding ? 'sliding_attention' : 'full_attention'));
  return { sliding_window, layer_types };
}

/** Of a family, that of models with gates in their MLPs, or without. */
export const variantOf = (family: GgufFamily, hasGates: boolean): GgufFamily =>
  hasGates ? family : (family.without_gates ?? family);

/** Whether tensors of a GGUF file are gates of MLPs. */
export const haveGates = (tensors: Iterable<string>): boolean =>
  [...tensors].some((name) => name.includes('.ffn_gate.'));

/** A family whose tensors are named like Llama's, with its differences. */
export function llamaLikeGguf(
  arch: string,
  differences: Partial<Omit<GgufFamily, 'arch'>> = {},
): GgufFamily {
  return {
    arch,
    model_type: arch,
    top: new Map([
      ['token_embd.weight', 'model.embed_tokens.weight'],
      ['output_norm.weight', 'model.norm.weight'],
      ['output.weight', 'lm_head.weight'],
    ]),
    layers: 'model.layers',
    parts: new Map(LLAMA_PARTS),
    partial_rotary: false,
    storage: () => 'plain',
    config: gatedConfig,
    ...differences,
  };
}
