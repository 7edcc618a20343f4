import type { Activation } from '../../formats/architecture/spec';
import { applyActivationWithSlope } from '../layers/activation';
import type { Dropout } from '../layers/dropout';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  sumAndFree,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

/** output(act(dense h)), or output(h). */
export interface LabelHead {
  readonly dense: { readonly linear: Linear; readonly activation: Activation } | null;
  readonly output: Linear;
}

export interface LabelSaved {
  readonly dense: { readonly saved: LinearSaved; readonly slope: Tensor } | null;
  /** What the output layer reads, where that is not h itself. [m, d] */
  readonly inner: Tensor | null;
  readonly output: LinearSaved;
}

/** h [m, d] -> [m, labels]; h is not taken over. */
export function labelForward(
  ops: Ops,
  head: LabelHead,
  h: Tensor,
  dropout: Dropout | null,
): { readonly y: Tensor; readonly saved: LabelSaved } {
  if (!head.dense) {
    const { y, saved } = linearForward(ops, head.output, h, dropout);
    return { y, saved: { dense: null, inner: null, output: saved } };
  }
  const { y: raw, saved } = linearForward(ops, head.dense.linear, h, dropout);
  const { y: inner, slope } = applyActivationWithSlope(ops, head.dense.activation, raw);
  ops.free(raw);
  const { y, saved: output } = linearForward(ops, head.output, inner, dropout);
  return { y, saved: { dense: { saved, slope }, inner, output } };
}

export function freeLabels(ops: Ops, { dense, inner, output }: LabelSaved): void {
  ops.free(
    ...savedTensors(output),
    ...(inner ? [inner] : []),
    ...(dense ? [dense.slope, ...savedTensors(dense.saved)] : []),
  );
}

/** Gradient of h for dy [m, labels]; null where it is not wanted. Frees dy and what was saved. */
export async function labelBackward(
  ops: Ops,
  head: LabelHead,
  h: Tensor,
  dy: Tensor,
  saved: LabelSaved,
  dropout: Dropout | null,
  wanted: boolean,
): Promise<Tensor | null> {
  const { dense } = head;
  const wantedInner = dense ? wanted || isLinearTrained(dense.linear) : wanted;
  const terms = await linearBackward(
    ops,
    head.output,
    dy,
    saved.inner ?? h,
    saved.output,
    dropout,
    wantedInner,
  );
  ops.free(dy);
  const dInner = terms.length > 0 ? sumAndFree(ops, terms) : null;
  const dh =
    dense && saved.dense && dInner
      ? await denseBackward(ops, dense.linear, h, dInner, saved.dense, dropout, wanted)
      : dInner;
  freeLabels(ops, saved);
  return dh;
}

async function denseBackward(
  ops: Ops,
  linear: Linear,
  h: Tensor,
  dInner: Tensor,
  { saved, slope }: NonNullable<LabelSaved['dense']>,
  dropout: Dropout | null,
  wanted: boolean,
): Promise<Tensor | null> {
  const dRaw = thenFree(ops, ops.mul(dInner, slope), dInner);
  const terms = await linearBackward(ops, linear, dRaw, h, saved, dropout, wanted);
  ops.free(dRaw);
  return terms.length > 0 ? sumAndFree(ops, terms) : null;
}
