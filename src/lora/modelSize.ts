import type { Quantize } from '../shared/trainingSettings';

/** Weights of which some matrices are quantized in memory. */
export interface QuantizedSize {
  /** Bytes of the blocks, and of what is always in f32. */
  readonly quantized_bytes: number | null;
  /** Numbers of the other matrices. Default: 0. */
  readonly dense_numbers?: number;
  /** Whether the output layer is one of those. Default: no. */
  readonly dense_head?: boolean;
}

/** The properties of a model that the memory estimate depends on. */
export interface ModelSize extends QuantizedSize {
  readonly parameters: number;
  /** Bytes of the weights if quantized ones stay quantized; null: none is quantized. */
  readonly quantized_bytes: number | null;
  /** How training.quantize quantizes a base that is not quantized. Default: not at all. */
  readonly quantizable?: Readonly<Record<Quantize, QuantizedSize>>;
  readonly hidden_size: number;
  /**
   * Inner size of the MLP, and whether it has a gate. Of a mixture: that of all
   * experts of a token, with their inputs or outputs.
   */
  readonly inner_size: number;
  readonly gated: boolean;
  readonly num_layers: number;
  /** Query heads and key/value heads times head_dim. */
  readonly q_size: number;
  readonly kv_size: number;
  readonly num_heads: number;
  /** Whether queries and keys are normed, so that the product before that is kept. Default: no. */
  readonly norms_heads?: boolean;
  /** Whether a token attends only to those before it. */
  readonly causal: boolean;
  /** Whether attention computes the scores of whole rows; else they exist in small blocks only. */
  readonly scores_rows: boolean;
  /** Outputs of the head per position: the vocabulary, or the labels. */
  readonly outputs: number;
  /** Layers with the gated delta rule in place of attention; null: there are none. */
  readonly delta: DeltaSize | null;
  /** Of a mixture of experts, in any of the layers. */
  readonly mixture?: MixtureSize;
  /** The vision encoder beside the text encoder, whose pass exists at the same time. */
  readonly images?: { readonly size: ModelSize; readonly length: number } | undefined;
  /** The encoder that the layers read through cross-attention; its pass exists at the same time. */
  readonly encoder?: ModelSize;
  /** The vision encoder. */
  readonly vision?: VisionSize;
}

/** Of a vision encoder, beside the model's other weights. */
export interface VisionSize {
  /** The module that it is, whose name those of its adapted modules begin with. */
  readonly path: string;
  /** The module that its numbered layers are in. */
  readonly blocks: string;
  /** The convolution that reads patches. */
  readonly convolution: string;
  readonly size: ModelSize;
  /** Patches of a token. */
  readonly patches: number;
  /** Numbers that are kept of each of an image's tokens. */
  readonly kept: number;
  /** Pixels of a patch. */
  readonly pixels: number;
  /** Numbers of a patch that the convolution reads. */
  readonly samples: number;
  /** Parts that make tokens of patches. */
  readonly mergers: number;
}

export interface MixtureSize {
  readonly experts: number;
  /** Experts of a token. */
  readonly top_k: number;
  /** Numbers of a token that its experts read together, which is as many as they write. */
  readonly routed: number;
}

/** Numbers of a token in a layer with the gated delta rule, but for `layers` and `state`. */
export interface DeltaSize {
  readonly layers: number;
  /** Of the product that all else is cut from. */
  readonly inputs: number;
  /** Of the convolution. */
  readonly channels: number;
  /** Keys of all value heads. */
  readonly keys: number;
  readonly values: number;
  readonly heads: number;
  /** Of a row. */
  readonly state: number;
}
