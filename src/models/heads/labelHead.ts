import type { Activation } from '../../formats/architecture/spec';
import { applyActivationWithSlope } from '../layers/activation';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import { sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';

interface DenseLayer {
  readonly linear: Linear;
  readonly activation: Activation;
  readonly norm: Norm | null;
}

/** output(norm(act(dense h))), or output(h). */
export interface LabelHead {
  readonly dense: DenseLayer | null;
  readonly output: Linear;
}

interface DenseSaved {
  readonly linear: LinearSaved;
  readonly slope: Tensor; // [m, d]
  readonly norm: NormSaved | null;
}

/** What the backward pass needs of the forward pass. */
export interface LabelSaved {
  /** The head's input, which the caller owns. */
  readonly h: Tensor; // [m, d]
  readonly dense: DenseSaved | null;
  /** What the output layer reads, unless that is h. */
  readonly inner: Tensor | null; // [m, d]
  readonly output: LinearSaved;
}

/** h [m, d] -> y [m, labels]. Does not free h. The caller frees y. */
export function labelForward(
  computation: Computation,
  head: LabelHead,
  h: Tensor,
): { readonly y: Tensor; readonly saved: LabelSaved } {
  const { ops } = computation;
  if (!head.dense) {
    const { y, saved: output } = linearForward(computation, head.output, h);
    return { y, saved: { h, dense: null, inner: null, output } };
  }
  const { y: raw, saved: linear } = linearForward(computation, head.dense.linear, h);
  const { y: activated, slope } = applyActivationWithSlope(ops, head.dense.activation, raw);
  ops.free(raw);
  const normed = head.dense.norm && normForward(ops, head.dense.norm, activated);
  const norm = normed && { x: activated, stats: normed.stats };
  const inner = normed?.h ?? activated;
  const { y, saved: output } = linearForward(computation, head.output, inner);
  return { y, saved: { h, dense: { linear, slope, norm }, inner, output } };
}

/** Frees what was saved, but not h, if no backward pass does. */
export function freeLabelSaved(ops: Ops, { dense, inner, output }: LabelSaved): void {
  ops.free(
    ...savedTensors(output),
    ...(inner ? [inner] : []),
    ...(dense ? [dense.slope, ...savedTensors(dense.linear)] : []),
    ...(dense?.norm ? [dense.norm.x, ...statsTensors(dense.norm.stats)] : []),
  );
}

/**
 * Gradient of h for dy [m, labels], or null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters. Frees dy and what was saved.
 */
export async function labelBackward(
  computation: Computation,
  head: LabelHead,
  saved: LabelSaved,
  { dy, wantsInput }: { readonly dy: Tensor; readonly wantsInput: boolean },
): Promise<Tensor | null> {
  const { ops } = computation;
  const { h, inner, output } = saved;
  const wantsInner = wantsInput || (head.dense !== null && isDenseTrained(head.dense));
  const gradient = { dy, x: inner ?? h, saved: output };
  const terms = await linearBackward(computation, head.output, gradient, wantsInner);
  ops.free(dy);
  const dInner = terms.length > 0 ? sumAndFree(ops, terms) : null;
  const dh =
    head.dense && dInner
      ? await denseBackward(computation, head.dense, saved, { dInner, wantsInput })
      : dInner;
  freeLabelSaved(ops, saved);
  return dh;
}

const isDenseTrained = ({ linear, norm }: DenseLayer): boolean =>
  isLinearTrained(linear) || isNormTrained(norm);

/** Frees dInner. */
async function denseBackward(
  computation: Computation,
  { linear, norm }: DenseLayer,
  { h, dense }: LabelSaved,
  { dInner, wantsInput }: { readonly dInner: Tensor; readonly wantsInput: boolean },
): Promise<Tensor | null> {
  if (!dense) return dInner;
  const { ops } = computation;
  const dActivated =
    norm && dense.norm ? await normBackwardAndFree(ops, norm, dense.norm, dInner) : dInner;
  const dRaw = thenFree(ops, ops.mul(dActivated, dense.slope), dActivated);
  const gradient = { dy: dRaw, x: h, saved: dense.linear };
  const terms = await linearBackward(computation, linear, gradient, wantsInput);
  ops.free(dRaw);
  return terms.length > 0 ? sumAndFree(ops, terms) : null;
}
