/** Heads of a fused row [num_heads · q, num_kv_heads · k, num_kv_heads · v], head_dim wide each. */
export interface HeadLayout {
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
}

/** A batch of sequences of one length. */
export interface SequenceShape {
  readonly batch: number;
  readonly length: number;
}

/** The heads of a batch of sequences. */
export interface AttentionShape extends HeadLayout, SequenceShape {}
