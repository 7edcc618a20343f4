import type { BranchGradient } from '../attention/attentionBranch';
import type { Ops, Tensor } from '../ops/ops';
import { addBranch, branchOutputGradient, type BranchOutput } from './branchOutput';
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
import { isNormTrained, statsTensors, type NormSaved } from './norm';

/**
 * An MLP beside experts (Gemma 4): y = residual + scale_out · norm_out(mlp(x) + experts(x)), each
 * with norms of its own.
 */
export interface DenseAndMixtureWeights extends BranchOutput {
  readonly kind: 'both';
  readonly mlp: MlpWeights;
  readonly mixture: MixtureWeights;
}

/** What the backward pass needs of the forward pass. */
export interface DenseAndMixtureSaved {
  readonly mlp: MlpSaved;
  readonly mixture: MixtureSaved;
  /** Of norm_out. */
  readonly branch: NormSaved | null;
}

export const isDenseAndMixtureTrained = (w: DenseAndMixtureWeights): boolean =>
  isMlpTrained(w.mlp) || isMixtureTrained(w.mixture) || isNormTrained(w.norm_out);

/** As `mlpForward`. */
export async function denseAndMixtureForward(
  computation: Computation,
  w: DenseAndMixtureWeights,
  x: Tensor,
  residual: Tensor,
): Promise<{ readonly y: Tensor; readonly saved: DenseAndMixtureSaved }> {
  const { ops } = computation;
  const mlp = mlpForward(computation, w.mlp, x, null);
  const mixture = await mixtureForward(computation, w.mixture, x, mlp.y);
  ops.free(mlp.y);
  const { y, branch } = addBranch(ops, w, mixture.y, residual);
  return { y, saved: { mlp: mlp.saved, mixture: mixture.saved, branch } };
}

/** Frees what was saved, but not x. */
export function freeDenseAndMixture(ops: Ops, saved: DenseAndMixtureSaved): void {
  const { mlp, mixture, branch } = saved;
  freeMlp(ops, mlp);
  freeMixture(ops, mixture);
  if (branch) ops.free(branch.x, ...statsTensors(branch.stats));
}

/** As `mlpBackward`. */
export async function denseAndMixtureBackward(
  computation: Computation,
  w: DenseAndMixtureWeights,
  saved: DenseAndMixtureSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = computation;
  const dSum = await branchOutputGradient(ops, w, saved.branch, dy);
  const ofMlp = await mlpBackward(computation, w.mlp, saved.mlp, {
    dy: dSum,
    residual,
    wantsInput,
  });
  const gradient = { dy: dSum, residual: ofMlp, wantsInput };
  const dx = await mixtureBackward(computation, w.mixture, saved.mixture, gradient);
  ops.free(...(dSum === dy ? [] : [dSum]), ...(ofMlp ? [ofMlp] : []));
  return dx;
}
