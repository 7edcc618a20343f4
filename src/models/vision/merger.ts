import {
  freeMlp,
  isMlpTrained,
  mlpBackward,
  mlpForward,
  type MlpSaved,
  type MlpWeights,
} from '../layers/mlpBranch';
import type { Computation } from '../layers/linear';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

/** A square of patches to one token: down(gelu(up(norm(patches)))). */
export interface MergerWeights {
  /** Over a patch, or over all patches of a token (its size tells). */
  readonly norm: Norm;
  readonly mlp: MlpWeights;
}

/** What the backward pass needs, which owns it. */
export interface MergerSaved {
  readonly norm: NormSaved;
  readonly mlp: MlpSaved;
}

export const isMergerTrained = ({ norm, mlp }: MergerWeights): boolean =>
  isNormTrained(norm) || isMlpTrained(mlp);

/**
 * x [n, d], which is not freed, as y [n / patches, width]. The caller frees y and, by `freeMerger`
 * or `mergerBackward`, what was saved.
 *
 * @param patches Of a token.
 */
export function mergerForward(
  computation: Computation,
  { norm, mlp }: MergerWeights,
  x: Tensor,
  patches: number,
): { readonly y: Tensor; readonly saved: MergerSaved } {
  const { ops } = computation;
  const [n, d] = x.shape as [number, number];
  const wide = [n / patches, d * patches];
  const isMergedFirst = norm.weight.tensor.shape[0] !== d;
  const given = ops.reshape(x, isMergedFirst ? wide : x.shape);
  const { h, stats } = normForward(ops, norm, given);
  const rows = thenFree(ops, ops.reshape(h, wide), h); // [n / patches, d · patches]
  const { y, saved } = mlpForward(computation, mlp, rows, null);
  return { y, saved: { norm: { x: given, stats }, mlp: saved } };
}

/**
 * dx [n, d] for dy [n / patches, width]; null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters. Frees what was saved, but not dy.
 */
export async function mergerBackward(
  computation: Computation,
  { norm, mlp }: MergerWeights,
  saved: MergerSaved,
  { dy, wantsInput, d }: { readonly dy: Tensor; readonly wantsInput: boolean; readonly d: number },
): Promise<Tensor | null> {
  const { ops } = computation;
  const gradient = { dy, residual: null, wantsInput: wantsInput || isNormTrained(norm) };
  const dRows = await mlpBackward(computation, mlp, saved.mlp, gradient);
  const dx = dRows && (await throughNorm(ops, norm, saved.norm, dRows));
  const patches = saved.norm.x.shape[0]! * saved.norm.x.shape[1]!;
  freeMerger(ops, saved);
  if (!dx) return null;
  if (wantsInput) return thenFree(ops, ops.reshape(dx, [patches / d, d]), dx);
  ops.free(dx);
  return null;
}

/** Frees dRows. */
function throughNorm(ops: Ops, norm: Norm, saved: NormSaved, dRows: Tensor): Promise<Tensor> {
  const dh = thenFree(ops, ops.reshape(dRows, saved.x.shape), dRows);
  return normBackwardAndFree(ops, norm, saved, dh);
}

/** Frees what was saved, if no backward pass did. */
export function freeMerger(ops: Ops, { norm, mlp }: MergerSaved): void {
  freeMlp(ops, mlp);
  ops.free(norm.x, ...statsTensors(norm.stats), mlp.x);
}
