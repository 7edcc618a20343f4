import type { Activation } from '../../formats/architecture/spec';
import { castAndFree, sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import { applyActivation, applyActivationWithSlope } from './activation';
import { addBranch, branchOutputGradient } from './branchOutput';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from './linear';
import { isNormTrained, statsTensors, type Norm, type NormSaved } from './norm';

/**
 * y = x + norm(projection(act(gate x) · v)) with a vector v of each token for this layer (Gemma 4's
 * per-layer embeddings).
 */
export interface PerLayerBranch {
  /** The number of the layer. */
  readonly layer: number;
  readonly activation: Activation;
  readonly gate: Linear;
  readonly projection: Linear;
  readonly norm: Norm;
}

/** What the backward pass needs of the forward pass, which owns it. */
export interface PerLayerSaved {
  readonly x: Tensor; // [m, d]
  readonly v: Tensor; // [m, width]
  /** The product before the activation. */
  readonly gate: Tensor; // [m, width]
  readonly linears: readonly [gate: LinearSaved, projection: LinearSaved];
  readonly branch: NormSaved | null;
}

export const isPerLayerTrained = (w: PerLayerBranch | null): boolean =>
  w !== null && (isLinearTrained(w.projection) || isNormTrained(w.norm) || isLinearTrained(w.gate));

const outputOf = ({ norm }: PerLayerBranch) => ({ norm_out: norm, scale_out: 1 });

/** x [m, d] and v [m, width] -> y [m, d]. Takes ownership of both. */
export function perLayerForward(
  computation: Computation,
  w: PerLayerBranch,
  x: Tensor,
  v: Tensor,
): { readonly y: Tensor; readonly saved: PerLayerSaved } {
  const { ops } = computation;
  const ofGate = linearForward(computation, w.gate, x);
  const gate = castAndFree(ops, ofGate.y, 'f32');
  const a = applyActivation(ops, w.activation, gate);
  const product = thenFree(ops, ops.mul(a, v), a);
  const projected = linearForward(computation, w.projection, product);
  ops.free(product);
  const { y, branch } = addBranch(ops, outputOf(w), projected.y, x);
  return { y, saved: { x, v, gate, linears: [ofGate.saved, projected.saved], branch } };
}

/** Frees what was saved. */
export function freePerLayer(ops: Ops, { x, v, gate, linears, branch }: PerLayerSaved): void {
  const ofBranch = branch ? [branch.x, ...statsTensors(branch.stats)] : [];
  ops.free(x, v, gate, ...linears.flatMap(savedTensors), ...ofBranch);
}

/**
 * The gradients of x, null unless `wantsX`, and of v for dy [m, d], which is not freed. Accumulates
 * the gradients of the trainable parameters.
 */
export async function perLayerBackward(
  computation: Computation,
  w: PerLayerBranch,
  saved: PerLayerSaved,
  { dy, wantsX }: { readonly dy: Tensor; readonly wantsX: boolean },
): Promise<{ readonly dx: Tensor | null; readonly dv: Tensor }> {
  const { ops } = computation;
  const { x, v, gate } = saved;
  const [ofGate, ofProjection] = saved.linears;
  const dProjected = await branchOutputGradient(ops, outputOf(w), saved.branch, dy);
  const { y: a, slope } = applyActivationWithSlope(ops, w.activation, gate);
  const product = needsInput(w.projection) ? ops.mul(a, v) : null;
  const dProduct = sumAndFree(
    ops,
    await linearBackward(
      computation,
      w.projection,
      { dy: dProjected, x: product, saved: ofProjection },
      true,
    ),
  );
  ops.free(dProjected, ...(product ? [product] : []));
  const dv = thenFree(ops, ops.mul(dProduct, a), a);
  const dA = thenFree(ops, ops.mul(dProduct, v), dProduct);
  const dGate = thenFree(ops, ops.mul(dA, slope), dA, slope);
  const terms = await linearBackward(computation, w.gate, { dy: dGate, x, saved: ofGate }, wantsX);
  ops.free(dGate);
  return { dx: wantsX ? sumAndFree(ops, terms, dy) : null, dv };
}
