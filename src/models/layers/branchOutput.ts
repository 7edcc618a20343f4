import { thenFree, type Ops, type Tensor } from '../ops/ops';
import { normBackward, normForward, type Norm, type NormSaved } from './norm';

/** What happens to a branch's output before it is added: scale_out · norm_out(x). */
export interface BranchOutput {
  readonly norm_out: Norm | null;
  /** 1: unchanged. */
  readonly scale_out: number;
}

/** Whether the output is added as it is. */
export const isPlainOutput = ({ norm_out, scale_out }: BranchOutput): boolean =>
  norm_out === null && scale_out === 1;

/** residual + scale_out · norm_out(x), if there is a residual. x is saved, or freed. */
export function addBranch(
  ops: Ops,
  { norm_out, scale_out }: BranchOutput,
  x: Tensor,
  residual: Tensor | null,
): { readonly y: Tensor; readonly branch: NormSaved | null } {
  const normed = norm_out && normForward(ops, norm_out, x);
  const h = normed?.h ?? x;
  const scaled = scale_out === 1 ? h : thenFree(ops, ops.scale(h, scale_out), h);
  const y = residual ? thenFree(ops, ops.add(scaled, residual), scaled) : scaled;
  return { y, branch: normed && { x, stats: normed.stats } };
}

/** The gradient of x for that of the sum; dy itself if both are equal. Frees nothing. */
export async function branchOutputGradient(
  ops: Ops,
  { norm_out, scale_out }: BranchOutput,
  branch: NormSaved | null,
  dy: Tensor,
): Promise<Tensor> {
  const dh = scale_out === 1 ? dy : ops.scale(dy, scale_out);
  if (!norm_out || !branch) return dh;
  const dx = await normBackward(ops, norm_out, branch, { dh, residual: null });
  if (dh !== dy) ops.free(dh);
  return dx;
}
