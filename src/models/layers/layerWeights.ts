import type { CrossWeights } from '../attention/crossAttention';
import type { FeedForwardWeights } from './feedForward';
import type { MixerWeights } from './mixing';
import type { Norm } from './norm';
import type { PerLayerBranch } from './perLayerBranch';

/**
 * An attention branch, or what replaces it, and an MLP branch, or experts, on a residual stream.
 */
export interface LayerWeights {
  readonly attention: MixerWeights;
  /** Attention to an encoder's output, between the two; null: none. */
  readonly cross: CrossWeights | null;
  readonly mlp: FeedForwardWeights;
  /** Norms of the residual stream after each branch. */
  readonly after_attention: Norm | null;
  readonly after_mlp: Norm | null;
  /** Whether the MLP reads attention's output, or both branches read the layer's input. */
  readonly residual: 'sequential' | 'parallel';
  /** After the MLP; null: none. */
  readonly perLayer: PerLayerBranch | null;
  /** Of the layer's output. 1: unchanged. */
  readonly outputFactor: number;
}
