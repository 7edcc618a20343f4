import type { BranchGradient } from '../attention/attentionBranch';
import type { Ops, Tensor } from '../ops/ops';
import {
  denseAndMixtureBackward,
  denseAndMixtureForward,
  freeDenseAndMixture,
  isDenseAndMixtureTrained,
  type DenseAndMixtureSaved,
  type DenseAndMixtureWeights,
} from './denseAndMixture';
import type { Computation } from './linear';
import {
  freeMixture,
  isMixtureTrained,
  mixtureBackward,
  mixtureForward,
  type MixtureSaved,
  type MixtureWeights,
} from './mixture';
import {
  freeMlp,
  isMlpTrained,
  mlpBackward,
  mlpForward,
  type MlpSaved,
  type MlpWeights,
} from './mlpBranch';

/** What follows attention in a layer: an MLP, a mixture of such experts, or both. */
export type FeedForwardWeights = MlpWeights | MixtureWeights | DenseAndMixtureWeights;

/** What the backward pass needs, with the weights that the forward pass used. */
export type FeedForwardSaved =
  | { readonly kind: 'mlp'; readonly w: MlpWeights; readonly saved: MlpSaved }
  | { readonly kind: 'mixture'; readonly w: MixtureWeights; readonly saved: MixtureSaved }
  | {
      readonly kind: 'both';
      readonly w: DenseAndMixtureWeights;
      readonly saved: DenseAndMixtureSaved;
    };

export function isFeedForwardTrained(w: FeedForwardWeights): boolean {
  switch (w.kind) {
    case 'mlp':
      return isMlpTrained(w);
    case 'mixture':
      return isMixtureTrained(w);
    case 'both':
      return isDenseAndMixtureTrained(w);
  }
}

/**
 * residual + the branch of x, [m, d]. Frees neither; the caller frees y and, by `freeFeedForward`,
 * what was saved.
 */
export async function feedForward(
  computation: Computation,
  w: FeedForwardWeights,
  x: Tensor,
  residual: Tensor,
): Promise<{ readonly y: Tensor; readonly saved: FeedForwardSaved }> {
  switch (w.kind) {
    case 'mlp': {
      const { y, saved } = mlpForward(computation, w, x, residual);
      return { y, saved: { kind: 'mlp', w, saved } };
    }
    case 'mixture': {
      const { y, saved } = await mixtureForward(computation, w, x, residual);
      return { y, saved: { kind: 'mixture', w, saved } };
    }
    case 'both': {
      const { y, saved } = await denseAndMixtureForward(computation, w, x, residual);
      return { y, saved: { kind: 'both', w, saved } };
    }
  }
}

/** Frees what was saved, but not x. */
export function freeFeedForward(ops: Ops, own: FeedForwardSaved): void {
  switch (own.kind) {
    case 'mlp':
      freeMlp(ops, own.saved);
      break;
    case 'mixture':
      freeMixture(ops, own.saved);
      break;
    case 'both':
      freeDenseAndMixture(ops, own.saved);
      break;
  }
}

/**
 * Gradient of x [m, d] plus the residual; null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters. Frees none of its inputs.
 */
export function feedForwardBackward(
  computation: Computation,
  own: FeedForwardSaved,
  gradient: BranchGradient,
): Promise<Tensor | null> {
  switch (own.kind) {
    case 'mlp':
      return mlpBackward(computation, own.w, own.saved, gradient);
    case 'mixture':
      return mixtureBackward(computation, own.w, own.saved, gradient);
    case 'both':
      return denseAndMixtureBackward(computation, own.w, own.saved, gradient);
  }
}
