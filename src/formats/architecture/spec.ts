import type { ModelTask } from '../../shared/task';

/**
 * A transformer as its config.json describes it, as plain data. Paths are those of the modules in
 * current transformers, which PEFT uses too; the names of older checkpoints are translated.
 */
export interface Spec {
  /** model_type */
  readonly family: string;
  readonly task: ModelTask;
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly num_layers: number;
  readonly embedding: EmbeddingSpec;
  readonly layers: readonly LayerSpec[];
  readonly final_norm: NormSpec | null;
  readonly head: HeadSpec;
  /** Whether a position attends only to itself and those before it. */
  readonly causal: boolean;
  /** Its path within a vision-language model, of which it is the language model. */
  readonly language_model?: string;
  /** Modules that checkpoints may have although no layer uses them. Not given: none. */
  readonly unused_modules?: readonly string[];
  /** The vision encoder in its texts. Not given: it has none, or one that is not supported. */
  readonly vision?: VisionSpec;
  /** What its layers read beside their own tokens (T5). Not given: nothing. */
  readonly source?: SourceSpec;
  /** Tokens of the longest texts that it was made for. Not given: its config does not say. */
  readonly context?: number;
}

/** The encoder of an encoder-decoder, whose decoder is the spec itself. */
export interface SourceSpec {
  /** Its embedding is that of the decoder, its head `none`. */
  readonly encoder: Spec;
  /** The token that every text of the decoder starts with. */
  readonly start_id: number;
}

/**
 * The vision encoder of a vision-language model, whose vectors stand in place of
 * an image's tokens (Qwen3-VL, Bai et al. 2025).
 */
export interface VisionSpec {
  /** The module that it is, whose name all of its parts begin with. */
  readonly path: string;
  /** The token that stands for an image's vectors. */
  readonly image_token: number;
  /** The blocks. Its embedding and its head are described here. */
  readonly tower: Spec;
  /** A convolution: samples of a patch, [channels, frames, height, width], to a vector. */
  readonly patches: LinearSpec;
  readonly channels: number;
  /** A still image is repeated so many times. */
  readonly frames: number;
  /** The side of a patch in pixels. */
  readonly patch: number;
  /** Of a square of patches: those of other images lie between them. */
  readonly positions: TableSpec;
  /** The side of a square of patches that becomes one token. */
  readonly merge: number;
  readonly merger: MergerSpec;
  /** Blocks whose outputs are added after the model's first, second, … layer (DeepStack). */
  readonly deepstack: readonly DeepstackSpec[];
}

export interface DeepstackSpec {
  readonly block: number;
  readonly merger: MergerSpec;
}

/** merge² patches to one token: down(gelu(up(norm(patches)))). */
export interface MergerSpec {
  /** Over a patch, or over all patches of a token (its size tells). */
  readonly norm: NormSpec;
  readonly up: LinearSpec;
  readonly down: LinearSpec;
}

/** y = W x + b with W [out, in]. */
export interface LinearSpec {
  readonly path: string;
  readonly in_features: number;
  readonly out_features: number;
  readonly bias: boolean;
  /** GPT-2's Conv1D: the file holds W as [in, out]. */
  readonly transposed: boolean;
}

/**
 * rms: x / √(mean(x²) + eps) · w (Zhang and Sennrich 2019). layer: (x - mean) / √(var + eps) · w +
 * b (Ba et al. 2016). scale: x · w, no norm, at the place of one (LayerScale, Touvron et al. 2021).
 */
export interface NormSpec {
  readonly path: string;
  readonly kind: 'rms' | 'layer' | 'scale';
  readonly size: number;
  readonly eps: number;
  /** Gemma: the factor is 1 + w. */
  readonly unit_offset: boolean;
  /** False: a layer norm without b (ModernBERT). */
  readonly bias?: false;
  /** The name of its parameter. Not given: weight. */
  readonly parameter?: string;
  /** Of its weight. Not given: 1. */
  readonly factor?: number;
}

export type EmbeddingSpec = TokenEmbeddingSpec | PatchEmbeddingSpec;

export interface TableSpec {
  readonly path: string;
  readonly rows: number;
  /** The row of the padding token, without a gradient (torch's padding_idx); none if left out. */
  readonly padding?: number;
}

export interface TokenEmbeddingSpec {
  readonly kind: 'tokens';
  readonly tokens: TableSpec;
  /** Factor of the token embeddings (Gemma). */
  readonly scale: number;
  /** Learned positions. */
  readonly positions: PositionsSpec | null;
  /** Segment types; row 0 when the input has none. */
  readonly types: TableSpec | null;
  readonly norm: NormSpec | null;
  /** From the width of the tables to that of the layers, after the norm. Not given: one width. */
  readonly projection?: LinearSpec;
  /** Token embeddings for each layer (Gemma 3n, Gemma 4). Not given: none. */
  readonly per_layer?: PerLayerSpec;
}

/**
 * Of each token a vector for each layer: (scale · table[id] + norm(projection_scale · projection
 * x)) / √2, with the token's vector x and a norm over each layer's part.
 */
export interface PerLayerSpec {
  /** The vectors of all layers in a row. */
  readonly table: TableSpec;
  /** Of each layer's vector. */
  readonly width: number;
  readonly scale: number;
  readonly projection: LinearSpec;
  readonly projection_scale: number;
  readonly norm: NormSpec;
}

export interface PositionsSpec extends TableSpec {
  /** The row of the first position (RoBERTa). */
  readonly offset: number;
  /** The id of a token that counts for no position, and has the row before the first (RoBERTa). */
  readonly skips?: number;
}

/**
 * A learned token, if there is one, followed by the image's patches, each through the same linear
 * map (a convolution whose stride is its kernel size).
 */
export interface PatchEmbeddingSpec {
  readonly kind: 'patches';
  readonly path: string;
  readonly channels: number;
  readonly image_size: readonly [number, number];
  readonly patch_size: readonly [number, number];
  readonly bias: boolean;
  /** Names of parameters, not of modules. cls_token: null without such a token (SigLIP). */
  readonly cls_token: string | null;
  readonly positions: string;
  /** The two have the shapes [d] and [positions, d] (CLIP). Not given: with leading ones. */
  readonly flat?: true;
  /** After the positions are added (CLIP). Not given: none. */
  readonly norm?: NormSpec;
  /** Square images of other sizes have the positions between these (DINOv2). Not given: refused. */
  readonly interpolates?: true;
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
  /** Attention to an encoder, after that to the layer's own tokens (T5). Not given: none. */
  readonly cross?: CrossAttentionSpec;
  /** Factor of each branch's output, before it is added (Granite). Not given: 1. */
  readonly branch_scale?: number;
  /** A third branch, after the MLP (Gemma 4). Not given: none. */
  readonly per_layer?: PerLayerBranchSpec;
  /** Name of a tensor with a constant by which the layer's output is multiplied (Gemma 4). */
  readonly output_factor?: string;
}

/**
 * y = x + o(attention(q(norm_in(x)), k(s), v(s))) with the encoder's output s. Scores are not
 * scaled.
 */
export interface CrossAttentionSpec {
  readonly num_heads: number;
  readonly head_dim: number;
  readonly norm_in: NormSpec;
  readonly q: LinearSpec;
  readonly k: LinearSpec;
  readonly v: LinearSpec;
  readonly o: LinearSpec;
}

/** y = x + norm(projection(act(gate x) · v)) with the token's vector v for this layer. */
export interface PerLayerBranchSpec {
  readonly activation: Activation;
  readonly gate: LinearSpec;
  readonly projection: LinearSpec;
  readonly norm: NormSpec;
}

/** The norms of a layer; null: none at that place. */
export interface LayerNorms {
  /** Of a branch's input (Llama, GPT-2). */
  readonly attention_in: NormSpec | null;
  readonly mlp_in: NormSpec | null;
  /** Of a branch's output, before it is added (OLMo 2, Gemma 2). */
  readonly attention_out: NormSpec | null;
  readonly mlp_out: NormSpec | null;
  /** Of the sum (BERT). */
  readonly after_attention: NormSpec | null;
  readonly after_mlp: NormSpec | null;
}

export interface AttentionSpec {
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
  /**
   * Three layers (separate), or one with the rows of all: q, then k, then v (stacked), or q, k and
   * v of each head in turn (per_head). Separate, v may be left out, and k (see `values` and
   * `keys_of`).
   */
  readonly qkv: readonly LinearSpec[];
  readonly layout: 'separate' | 'stacked' | 'per_head';
  readonly o: LinearSpec;
  /** Norms of queries and keys before RoPE: over each head, or over all heads together. */
  readonly qk_norm: {
    readonly over: 'head' | 'all';
    readonly q: NormSpec;
    /** Null: keys are those of another layer. */
    readonly k: NormSpec | null;
    /** Whether each head's values are normalized, too, without a weight (Gemma 4). */
    readonly values?: true;
    /** Whether they follow RoPE (HunYuan). Not given: RoPE follows them. */
    readonly after_rope?: true;
  } | null;
  readonly rope: RopeSpec | null;
  /** Factor of the attention scores, mostly 1/√head_dim. */
  readonly scale: number;
  /** Attention window: the number of keys that a query sees, its own included; null: unlimited. */
  readonly window: number | null;
  /** Scores become softcap · tanh(score / softcap); null: unchanged. */
  readonly softcap: number | null;
  /** keys: values are the keys before their norm and RoPE (Gemma 4). Not given: v's own layer. */
  readonly values?: 'keys';
  /** The layer below whose keys and values it uses instead of its own (Gemma 4). */
  readonly keys_of?: number;
  /**
   * Name of a parameter with a number for each head, which takes part in the softmax as the score
   * of a key without a value (gpt-oss). Not given: none.
   */
  readonly sinks?: string;
  /** Learned biases of the scores. Not given: none. */
  readonly score_bias?: ScoreBiasSpec;
  /**
   * A short convolution in place of attention (LFM2): `qkv` is its gates and input, and heads
   * have no meaning. Not given: attention.
   */
  readonly convolution?: ConvolutionSpec;
  /** Scores by the distance of query and key (DeBERTa). Not given: none. */
  readonly distances?: DistanceSpec;
  /**
   * The gated delta rule in place of attention (Qwen 3.5): `qkv` is the layers of its inputs,
   * of its gate, of its rates and of its decays. Not given: attention.
   */
  readonly delta?: DeltaSpec;
  /**
   * Each head's rows in the layer of queries are its query, and then a gate: attention's output is
   * multiplied by its sigmoid (Qwen 3.5). Not given: queries alone.
   */
  readonly gated?: true;
}

/** Gated DeltaNet (Yang et al. 2025), with as many value heads for each key head. */
export interface DeltaSpec {
  readonly key_heads: number;
  readonly value_heads: number;
  readonly key_dim: number;
  readonly value_dim: number;
  readonly convolution: ConvolutionSpec;
  /** Names of parameters of the value heads, not of modules. */
  readonly decay_log: string;
  readonly decay_bias: string;
  /** Of each value head's output. */
  readonly norm: NormSpec;
}

/** A causal convolution of each channel. */
export interface ConvolutionSpec {
  readonly path: string;
  readonly channels: number;
  /** The tokens that it sees, the last one included. */
  readonly kernel: number;
  readonly bias: boolean;
}

/** Distance embeddings that take part in attention as keys and as queries (He et al. 2021). */
export interface DistanceSpec {
  /** A vector for each bucket of distances, of all layers. */
  readonly table: TableSpec;
  readonly norm: NormSpec | null;
  /** Half of the table's rows. */
  readonly span: number;
  /** Distances beyond half of so many share a row by their logarithm; 0: each has its own. */
  readonly buckets: number;
  readonly max_distance: number;
  /** Whether queries see distances as keys, and keys see them as queries. */
  readonly c2p: boolean;
  readonly p2c: boolean;
  /** Null: the projections of keys and queries. */
  readonly key: LinearSpec | null;
  readonly query: LinearSpec | null;
}

/**
 * A table of biases [rows, heads], of which all layers of one path have one, by the distance of
 * query and key in T5's buckets (MPNet).
 */
export interface ScoreBiasSpec extends TableSpec {
  readonly heads: number;
  readonly buckets: number;
  /** Distances from here on share the last bucket. */
  readonly max_distance: number;
  /** Whether half of the buckets are for keys after the query; else these have its own. */
  readonly bidirectional: boolean;
}

/** Rotary position embeddings (Su et al. 2021) with their scaling for longer contexts. */
export interface RopeSpec {
  readonly theta: number;
  /** How many dimensions of a head are rotated: the first ones. */
  readonly rotary_dim: number;
  readonly scaling: RopeScaling;
  /** Which dimensions are a pair: i and i + rotary_dim / 2 (not given), or 2 i and 2 i + 1. */
  readonly pairs?: 'neighbours';
  /**
   * Which of a token's positions a pair turns by: interleaved, the first 3 · n[1] pairs of the form
   * 3 i + 1 by its height, the first 3 · n[2] of the form 3 i + 2 by its width, others by its time
   * (Qwen3-VL); halves, the first half of the pairs by the height, the second, with the same
   * frequencies, by the width. Not given: a token has one position.
   */
  readonly axes?:
    | { readonly kind: 'interleaved'; readonly sections: readonly [number, number, number] }
    | { readonly kind: 'halves' };
  /** Queries at position t are multiplied by 1 + beta · ln(1 + ⌊t / length⌋) (Ministral 3). */
  readonly query_growth?: { readonly beta: number; readonly length: number };
}

export type RopeScaling =
  | { readonly kind: 'default' }
  | { readonly kind: 'linear'; readonly factor: number }
  /** The first `pairs` rotate with frequencies over the whole head, the others not (Gemma 4). */
  | { readonly kind: 'proportional'; readonly pairs: number; readonly factor: number }
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

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'quick_gelu' | 'relu' | 'tanh';

export type MlpSpec =
  /** down(act(gate x) · up x) */
  | {
      readonly kind: 'gated';
      readonly activation: Activation;
      readonly gate: LinearSpec;
      readonly up: LinearSpec;
      readonly down: LinearSpec;
    }
  /** The same with one matrix: the rows of gate, then those of up. */
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
    }
  | MixtureSpec;

/**
 * A mixture of experts (Shazeer et al. 2017): of each token, the `top_k` experts that are most
 * probable by the router, times these probabilities.
 */
export interface MixtureSpec {
  readonly kind: 'mixture';
  readonly activation: Activation;
  /** In the place of act(gate x) · up x (gpt-oss). Not given: that. */
  readonly clamped?: ClampedGate;
  readonly router: LinearSpec;
  /** Whether the router is a linear layer in transformers, which target_modules can name. */
  readonly router_is_layer?: true;
  /** Of the router's input, that of the branch. Not given: it reads what the experts read. */
  readonly router_norm?: NormSpec;
  /** Name of a parameter with a factor of each expert's weight. Not given: none. */
  readonly expert_scale?: string;
  /** An MLP beside the experts, whose outputs are added (Gemma 4). Not given: none. */
  readonly beside?: MlpBesideExperts;
  /** The module of all experts, whose parameters may be stacked. */
  readonly module: string;
  readonly experts: readonly ExpertSpec[];
  readonly top_k: number;
  /** Whether the probabilities of the chosen experts are divided by their sum. */
  readonly normalises: boolean;
}

/** norm_out(mlp(x)) + experts_out(experts(experts_in(x))); the layer's norms are around both. */
export interface MlpBesideExperts {
  readonly mlp: Exclude<MlpSpec, MixtureSpec>;
  readonly norm_out: NormSpec;
  readonly experts_in: NormSpec;
  readonly experts_out: NormSpec;
}

/** (up + 1) · gate · σ(alpha · gate), with gate at most `limit` and up within ± `limit`. */
export interface ClampedGate {
  readonly alpha: number;
  readonly limit: number;
}

/** down(act(gate x) · up x) */
export interface ExpertSpec {
  /** Null: a checkpoint has `gate_up`. */
  readonly halves: { readonly gate: LinearSpec; readonly up: LinearSpec } | null;
  readonly down: LinearSpec;
  /** Gate and up as one layer, which adapters may have: first gate, or the two in turn. */
  readonly gate_up: LinearSpec;
  readonly order: 'halves' | 'in_turn';
}

/**
 * The position whose vector represents a text or an image: its first or its last position, the
 * first one with the id `end` (null: with the largest id), or all of them by attention.
 */
export type VectorPool =
  | { readonly kind: 'first' | 'last' }
  | { readonly kind: 'end'; readonly end: number | null }
  | AttentionPoolSpec;

/**
 * One learned query that attends to all positions, followed by an MLP with a residual connection
 * (Zhai et al. 2022, MAP head).
 */
export interface AttentionPoolSpec {
  readonly kind: 'attention';
  /** Name of a parameter [1, 1, d]. */
  readonly probe: string;
  /** Path of torch's MultiheadAttention, whose in_proj has the rows of q, k and v. */
  readonly attention: string;
  readonly num_heads: number;
  readonly o: LinearSpec;
  readonly norm: NormSpec;
  readonly up: LinearSpec;
  readonly down: LinearSpec;
  readonly activation: Activation;
}

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** How a tower's vector is made: it is pooled, then projected (null: as it is). */
export interface VectorSpec {
  readonly pool: VectorPool;
  readonly projection: LinearSpec | null;
}

/** What a head for labels reads of a sequence. */
export type LabelPool = 'none' | 'first' | 'last' | 'mean' | 'first_and_mean';

export type HeadSpec =
  /** Logits of the next token; tied: with the embedding's weight. */
  | {
      readonly kind: 'lm';
      readonly output: LinearSpec;
      readonly tied: boolean;
      /** A checkpoint's own output layer counts, even where the config ties it (T5). */
      readonly prefers_stored?: true;
      readonly softcap: number | null;
      /** Factor of the logits, before the softcap (Granite). Not given: 1. */
      readonly scale?: number;
    }
  /**
   * Labels of a sequence or of each token (pool: none). The others are its first or last token, the
   * mean, or the first one followed by the mean of the others (first_and_mean).
   */
  | {
      readonly kind: 'labels';
      readonly pool: LabelPool;
      readonly dense: {
        readonly linear: LinearSpec;
        readonly activation: Activation;
        readonly norm?: NormSpec;
      } | null;
      readonly output: LinearSpec;
    }
  /** The mean of a sequence's vectors, scaled to length 1 when `normalise` is set. */
  | {
      readonly kind: 'pooled';
      readonly normalise: boolean;
      /** A layer of the checkpoint that adapters may have, but the vectors do not depend on. */
      readonly pooler?: LinearSpec;
    }
  /** The vectors as they are: an encoder that a decoder reads. */
  | { readonly kind: 'none' }
  /** A vector of each image: the tower of a model for pairs of an image and a text. */
  | ({ readonly kind: 'vector' } & VectorSpec)
  /**
   * Pairs of an image and a text, by the cosines of their vectors times exp(scale), plus bias. The
   * spec itself is the text encoder.
   */
  | {
      readonly kind: 'contrastive';
      /**
       * Over rows and columns (CLIP, Radford et al. 2021), or of each pair (SigLIP, Zhai et al.
       * 2023).
       */
      readonly loss: 'cross_entropy' | 'sigmoid';
      readonly text: VectorSpec;
      /** Its head is of the kind `vector`. */
      readonly images: Spec;
      /** Parameters of one number. bias: null without one. */
      readonly scale: ParameterSpec;
      readonly bias: ParameterSpec | null;
      /** Texts fill all positions, and padding is read like text (SigLIP). */
      readonly fills: boolean;
    };
