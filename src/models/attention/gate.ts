import { castAndFree, thenFree, type Ops, type Precision, type Tensor } from '../ops/ops';
import type { HeadLayout } from './headLayout';

// The gate of attention's output (Qwen 3.5): o · sigmoid(gate), with as many numbers as o has.

/** The product's part before the gate, and the gate. Frees the product. */
export function splitGate(
  ops: Ops,
  { num_heads, num_kv_heads, head_dim }: HeadLayout,
  product: Tensor,
): { readonly y: Tensor; readonly gate: Tensor } {
  const widths = [(num_heads + 2 * num_kv_heads) * head_dim, num_heads * head_dim];
  const [y, gate] = ops.split(product, widths, 1) as [Tensor, Tensor];
  return { y: thenFree(ops, y, product), gate };
}

/** In the precision of o. Frees neither. */
export function gated(ops: Ops, o: Tensor, gate: Tensor): Tensor {
  const open = ops.sigmoid(gate);
  return castAndFree(ops, thenFree(ops, ops.mul(o, open), open), o.dtype as Precision);
}

/** The gradients of o and of the gate. Frees d. */
export function gateBackward(
  ops: Ops,
  o: Tensor,
  gate: Tensor,
  d: Tensor,
): { readonly dO: Tensor; readonly dGate: Tensor } {
  const open = ops.sigmoid(gate);
  const dOpen = ops.mul(d, o);
  const dGate = thenFree(ops, ops.sigmoidGrad(open, dOpen), dOpen);
  return { dO: thenFree(ops, ops.mul(d, open), open, d), dGate };
}
