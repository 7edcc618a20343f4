import { applyActivation, applyActivationWithSlope } from '../layers/activation';
import { columnDots, thenFree, type Ops, type Tensor } from '../ops/ops';
import { Scope } from '../ops/scope';
import type { DenseWeight } from '../weightTensor';

// The RMSNorm of each head's output, times a weight and SiLU of a gate (Qwen 3.5, Mamba 2).

export interface GatedNorm {
  readonly weight: DenseWeight; // [width]
  readonly eps: number;
}

/** x and the gate z, of which neither is freed. */
interface Gated {
  readonly x: Tensor; // [n, heads · width]
  readonly z: Tensor; // [n, heads · width]
}

/** w · x / rms(x) · silu(z) */
export function gatedNorm(ops: Ops, norm: GatedNorm, { x, z }: Gated): Tensor {
  const { unit, r } = units(ops, norm, x);
  const scaled = thenFree(ops, ops.mul(unit, norm.weight.tensor), unit, r);
  const rows = thenFree(ops, ops.reshape(scaled, x.shape), scaled);
  const gate = applyActivation(ops, 'silu', z);
  return thenFree(ops, ops.mul(rows, gate), rows, gate);
}

/** The rows of heads with mean square 1, and 1 / rms. */
function units(
  ops: Ops,
  { weight, eps }: GatedNorm,
  x: Tensor,
): { readonly unit: Tensor; readonly r: Tensor } {
  const [width] = weight.shape as [number];
  const rows = ops.reshape(x, [(x.shape[0]! * x.shape[1]!) / width, width]);
  const r = ops.rms(rows, eps);
  return { unit: thenFree(ops, ops.mul(rows, r), rows), r };
}

/** The gradients of x and z for dO. Accumulates that of the weight. Frees none of its inputs. */
export async function gatedNormBackward(
  ops: Ops,
  norm: GatedNorm,
  { x, z }: Gated,
  dO: Tensor,
): Promise<{ readonly dx: Tensor; readonly dz: Tensor }> {
  const scope = new Scope(ops);
  const { own } = scope;
  const { unit, r } = units(ops, norm, x);
  scope.ownAll([unit, r]);
  const { y: gate, slope } = applyActivationWithSlope(ops, 'silu', z);
  scope.ownAll([gate, slope]);
  const h = own(ops.reshape(own(ops.mul(unit, norm.weight.tensor)), x.shape));
  const dz = ops.mul(own(ops.mul(dO, h)), slope);
  const dh = own(ops.reshape(own(ops.mul(dO, gate)), unit.shape));
  const { gradientSink } = norm.weight;
  if (gradientSink) {
    const sums = columnDots(ops, dh, unit);
    await gradientSink.accumulate(thenFree(ops, ops.reshape(sums, norm.weight.shape), sums));
  }
  const g = own(ops.mul(dh, norm.weight.tensor));
  const mean = own(ops.scale(own(ops.sum(own(ops.mul(g, unit)))), 1 / unit.shape[1]!));
  const orthogonal = own(ops.sub(g, own(ops.mul(unit, mean))));
  const dx = ops.reshape(own(ops.mul(orthogonal, r)), x.shape);
  scope.free();
  return { dx, dz };
}
