import type { Task } from '../../shared/task';

/**
 * A transformer as its config.json describes it: data only. Every path is that of the module in
 * current transformers, which PEFT uses too; a checkpoint under older names is renamed at reading.
 */
export interface Spec {
  /** model_type */
  readonly family: string;
  readonly task: Task;
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly num_layers: number;
  readonly embedding: EmbeddingSpec;
  readonly layers: readonly LayerSpec[];
  readonly final_norm: NormSpec | null;
  readonly head: HeadSpec;
  /** Each position sees only those before it. */
  readonly causal: boolean;
}

/** y = W x + b with W [out, in]. */
export interface LinearSpec {
  readonly path: string;
  readonly in_features: number;
  readonly out_features: number;
  readonly bias: boolean;
  /** Conv1D, GPT-2's own: the file holds W as [in, out]. */
  readonly transposed: boolean;
}

/**
 * rms: x / √(mean(x²) + eps) · w (Zhang and Sennrich 2019). layer: (x - mean) / √(var + eps) · w +
 * b (Ba et al. 2016).
 */
export interface NormSpec {
  readonly path: string;
  readonly kind: 'rms' | 'layer';
  readonly size: number;
  readonly eps: number;
  /** Gemma's: the weight counts from 1. */
  readonly unit_offset: boolean;
}

export type EmbeddingSpec = TokenEmbeddingSpec | PatchEmbeddingSpec;

export interface TableSpec {
  readonly path: string;
  readonly rows: number;
}

export interface TokenEmbeddingSpec {
  readonly kind: 'tokens';
  readonly tokens: TableSpec;
  /** Factor of the token's vector, as in Gemma. */
  readonly scale: number;
  /** Learned positions; `offset`: row of the first position, as in RoBERTa. */
  readonly positions: (TableSpec & { readonly offset: number }) | null;
  /** Segment types: row 0 where the input gives none. */
  readonly types: TableSpec | null;
  readonly norm: NormSpec | null;
}

/**
 * An image cut into patches, each through one linear map (a convolution whose stride is its size),
 * after a learned token.
 */
export interface PatchEmbeddingSpec {
  readonly kind: 'patches';
  readonly path: string;
  readonly channels: number;
  readonly image_size: readonly [number, number];
  readonly patch_size: readonly [number, number];
  readonly bias: boolean;
  /** Names of parameters, not of modules. */
  readonly cls_token: string;
  readonly positions: string;
}

export interface LayerSpec {
  /**
   * sequential: y = x1 + mlp(x1) with x1 = x + attention(x). parallel: y = x + attention(x) +
   * mlp(x).
   */
  readonly residual: 'sequential' | 'parallel';
  readonly attention: AttentionSpec;
  readonly mlp: MlpSpec;
  readonly norms: LayerNorms;
}

/** Where the norms stand; null: none there. */
export interface LayerNorms {
  /** On what a branch reads (Llama, GPT-2). */
  readonly attention_in: NormSpec | null;
  readonly mlp_in: NormSpec | null;
  /** On what a branch gives, before it is added (OLMo 2, Gemma 2). */
  readonly attention_out: NormSpec | null;
  readonly mlp_out: NormSpec | null;
  /** On the sum (BERT). */
  readonly after_attention: NormSpec | null;
  readonly after_mlp: NormSpec | null;
}

export interface AttentionSpec {
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
  /**
   * q, k and v; or one matrix with the rows of all: one part after the other (stacked), or head by
   * head (per_head).
   */
  readonly qkv: readonly LinearSpec[];
  readonly layout: 'separate' | 'stacked' | 'per_head';
  readonly o: LinearSpec;
  /**
   * Norms of queries and keys before the rotation: over each head's numbers, or over all of them.
   */
  readonly qk_norm: {
    readonly over: 'head' | 'all';
    readonly q: NormSpec;
    readonly k: NormSpec;
  } | null;
  readonly rope: RopeSpec | null;
  /** Factor of the scores, 1/√head_dim mostly. */
  readonly scale: number;
  /** Keys a query sees, itself included; null: all. */
  readonly window: number | null;
  /** Scores are bent to softcap · tanh(score / softcap). */
  readonly softcap: number | null;
}

/**
 * Rotary position embeddings (Su et al. 2021): base frequency and how it is stretched for longer
 * contexts.
 */
export interface RopeSpec {
  readonly theta: number;
  /** The first numbers of a head are rotated, in two halves; the others stay. */
  readonly rotary_dim: number;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly kind: 'default' }
  | { readonly kind: 'linear'; readonly factor: number }
  | { readonly kind: 'dynamic'; readonly factor: number; readonly max_position_embeddings: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly original_max_position_embeddings: number;
      readonly attention_factor: number;
      readonly beta_fast: number;
      readonly beta_slow: number;
      readonly truncate: boolean;
    }
  | {
      readonly kind: 'longrope';
      readonly short_factor: readonly number[];
      readonly long_factor: readonly number[];
      readonly attention_factor: number;
      readonly original_max_position_embeddings: number;
    };

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu' | 'tanh';

export type MlpSpec =
  /** down(act(gate x) · up x) */
  | {
      readonly kind: 'gated';
      readonly activation: Activation;
      readonly gate: LinearSpec;
      readonly up: LinearSpec;
      readonly down: LinearSpec;
    }
  /** The same with gate's rows before up's in one matrix. */
  | {
      readonly kind: 'gated_fused';
      readonly activation: Activation;
      readonly gate_up: LinearSpec;
      readonly down: LinearSpec;
    }
  /** down(act(up x)) */
  | {
      readonly kind: 'plain';
      readonly activation: Activation;
      readonly up: LinearSpec;
      readonly down: LinearSpec;
    };

export type HeadSpec =
  /** Logits of the next token; tied: with the embedding's weight. */
  | {
      readonly kind: 'lm';
      readonly output: LinearSpec;
      readonly tied: boolean;
      readonly softcap: number | null;
    }
  /** Labels for each sequence (pool) or each token (none): output(act(dense x)). */
  | {
      readonly kind: 'labels';
      readonly pool: 'none' | 'first' | 'last';
      readonly dense: { readonly linear: LinearSpec; readonly activation: Activation } | null;
      readonly output: LinearSpec;
    }
  /** The mean of a sequence's vectors, of length 1 where `normalise` says so. */
  | { readonly kind: 'pooled'; readonly normalise: boolean };
