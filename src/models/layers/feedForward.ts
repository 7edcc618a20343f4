import type { BranchGradient } from '../attention/attentionBranch';
import type { Ops, Tensor } from '../ops/ops';
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

/** What follows attention in a layer: an MLP, or a mixture of such experts. */
export type FeedForwardWeights = MlpWeights | MixtureWeights;

/** What the backward pass needs, with the weights that the forward pass used. */
export type FeedForwardSaved =
  | { readonly kind: 'mlp'; readonly w: MlpWeights; readonly saved: MlpSaved }
  | { readonly kind: 'mixture'; readonly w: MixtureWeights; readonly saved: MixtureSaved };

export const isFeedForwardTrained = (w: FeedForwardWeights): boolean =>
  w.kind === 'mixture' ? isMixtureTrained(w) : isMlpTrained(w);

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
  if (w.kind === 'mixture') {
    const { y, saved } = await mixtureForward(computation, w, x, residual);
    return { y, saved: { kind: 'mixture', w, saved } };
  }
  const { y, saved } = mlpForward(computation, w, x, residual);
  return { y, saved: { kind: 'mlp', w, saved } };
}

/** Frees what was saved, but not x. */
export function freeFeedForward(ops: Ops, own: FeedForwardSaved): void {
  if (own.kind === 'mixture') freeMixture(ops, own.saved);
  else freeMlp(ops, own.saved);
}

/**
 * Gradient of x [m, d] plus the residual; null unless `wantsInput`. Accumulates the gradients of
 * what trains. Frees none of its inputs.
 */
export const feedForwardBackward = (
  computation: Computation,
  own: FeedForwardSaved,
  gradient: BranchGradient,
): Promise<Tensor | null> =>
  own.kind === 'mixture'
    ? mixtureBackward(computation, own.w, own.saved, gradient)
    : mlpBackward(computation, own.w, own.saved, gradient);
