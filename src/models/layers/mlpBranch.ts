import type { Activation } from '../../formats/architecture/spec';
import { applyActivation, applyActivationWithSlope } from './activation';
import type { Dropout } from './dropout';
import {
  inputPrecision,
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  sumAndFree,
  type Linear,
  type LinearOutput,
  type LinearSaved,
} from './linear';
import {
  isNormTrained,
  recomputeNorm,
  normBackward,
  normForward,
  branchInputGradient,
  statsTensors,
  type Norm,
  type NormStats,
} from './norm';
import type { FusedOps } from '../ops/fused';
import { castAndFree, thenFree, withF32, type Ops, type Precision, type Tensor } from '../ops/ops';

export interface MlpWeights {
  readonly norm_in: Norm | null;
  readonly norm_out: Norm | null;
  readonly activation: Activation;
  /** Without it: down(act(up x)). */
  readonly gate: Linear | null;
  readonly up: Linear;
  readonly down: Linear;
}

export interface MlpSaved {
  readonly stats_in: NormStats | null;
  readonly gate: Tensor | null; // [m, intermediate]
  readonly up: Tensor; // [m, intermediate]
  readonly saved: Readonly<Record<'gate' | 'up' | 'down', LinearSaved>>;
  readonly branch: { readonly y: Tensor; readonly stats: NormStats } | null;
}

const NOTHING: LinearSaved = { xa: null, z: null };

/** residual + mlp(x), [m, d]; takes neither over. */
export function mlpForward(
  ops: Ops,
  w: MlpWeights,
  x: Tensor,
  residual: Tensor,
  dropout: Dropout | null,
): { readonly y: Tensor; readonly saved: MlpSaved } {
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.up, x));
  const h = normed?.h ?? x;
  const gate = w.gate && keepable(ops, w.gate, h, dropout);
  const up = keepable(ops, w.up, h, dropout);
  if (normed) ops.free(normed.h);
  const m = inner(ops, w, gate?.y ?? null, up.y);
  const down = linearForward(ops, w.down, m, dropout, w.norm_out ? null : residual);
  ops.free(m);
  const saved = {
    stats_in: normed?.stats ?? null,
    gate: gate?.y ?? null,
    up: up.y,
    saved: { gate: gate?.saved ?? NOTHING, up: up.saved, down: down.saved },
  };
  if (!w.norm_out) return { y: down.y, saved: { ...saved, branch: null } };
  const out = normForward(ops, w.norm_out, down.y);
  return {
    y: thenFree(ops, ops.add(out.h, residual), out.h),
    saved: { ...saved, branch: { y: down.y, stats: out.stats } },
  };
}

/** What is kept for the backward pass has the precision of the products. */
function keepable(ops: Ops, layer: Linear, h: Tensor, dropout: Dropout | null): LinearOutput {
  const dtype = inputPrecision(ops, layer, h);
  const { y, saved } = linearForward(ops, layer, h, dropout, null, dtype);
  return { y: castAndFree(ops, y, dtype), saved };
}

/** act(gate) · up, or act(up) */
function inner(ops: Ops, w: MlpWeights, gate: Tensor | null, up: Tensor): Tensor {
  if (ops.fused && gate && w.activation === 'silu') return ops.fused.glu(gate, up);
  if (!gate) return withF32(ops, up, (x) => applyActivation(ops, w.activation, x));
  const a = withF32(ops, gate, (x) => applyActivation(ops, w.activation, x));
  return thenFree(ops, ops.mul(a, up), a);
}

export function freeMlp(ops: Ops, { stats_in, gate, up, saved, branch }: MlpSaved): void {
  ops.free(
    ...(stats_in ? statsTensors(stats_in) : []),
    ...(gate ? [gate] : []),
    up,
    ...Object.values(saved).flatMap(savedTensors),
    ...(branch ? [branch.y, ...statsTensors(branch.stats)] : []),
  );
}

/**
 * Gradient of x [m, d] for dy of what came out, plus `residual`; null where nothing below needs it.
 * Takes none over.
 */
export async function mlpBackward(
  ops: Ops,
  w: MlpWeights,
  x: Tensor,
  dy: Tensor,
  saved: MlpSaved,
  dropout: Dropout | null,
  wanted: boolean,
  residual: Tensor | null,
): Promise<Tensor | null> {
  const wantedInput = wanted || isNormTrained(w.norm_in);
  const wantedInner =
    wantedInput || isLinearTrained(w.up) || (w.gate !== null && isLinearTrained(w.gate));
  const dBranch =
    w.norm_out && saved.branch
      ? await normBackward(ops, w.norm_out, saved.branch.y, saved.branch.stats, dy, null)
      : dy;
  const dInner = await innerBackward(ops, w, dBranch, saved, dropout, wantedInner);
  if (dBranch !== dy) ops.free(dBranch);
  if (!dInner) return null;
  const readsInput = needsInput(w.up) || (w.gate !== null && needsInput(w.gate));
  const h = !readsInput
    ? null
    : w.norm_in && saved.stats_in
      ? recomputeNorm(ops, w.norm_in, x, saved.stats_in, inputPrecision(ops, w.up, x))
      : x;
  const terms = [
    ...(w.gate && dInner.gate
      ? await linearBackward(ops, w.gate, dInner.gate, h, saved.saved.gate, dropout, wantedInput)
      : []),
    ...(await linearBackward(ops, w.up, dInner.up, h, saved.saved.up, dropout, wantedInput)),
  ];
  ops.free(dInner.up, ...(dInner.gate ? [dInner.gate] : []));
  if (h && h !== x) ops.free(h);
  if (!wantedInput) return null;
  const dx = await branchInputGradient(
    ops,
    w.norm_in,
    x,
    saved.stats_in,
    sumAndFree(ops, terms),
    residual,
  );
  if (wanted) return dx;
  ops.free(dx);
  return null;
}

/** Gradients of gate and up [m, intermediate]. */
async function innerBackward(
  ops: Ops,
  w: MlpWeights,
  dy: Tensor,
  { gate, up, saved }: MlpSaved,
  dropout: Dropout | null,
  wanted: boolean,
): Promise<{ readonly gate: Tensor | null; readonly up: Tensor } | null> {
  if (ops.fused && gate && w.activation === 'silu')
    return gluBackward(ops, ops.fused, w, dy, { gate, up, saved }, dropout, wanted);
  const { y: a, slope } = withF32(ops, gate ?? up, (x) =>
    applyActivationWithSlope(ops, w.activation, x),
  );
  const m = !needsInput(w.down) ? null : gate ? ops.mul(a, up) : a;
  const terms = await linearBackward(ops, w.down, dy, m, saved.down, dropout, wanted);
  if (m && m !== a) ops.free(m);
  if (!wanted) {
    ops.free(a, slope);
    return null;
  }
  const dm = sumAndFree(ops, terms); // [m, intermediate]
  if (!gate) return { gate: null, up: thenFree(ops, ops.mul(dm, slope), dm, slope, a) };
  const dUp = thenFree(ops, ops.mul(dm, a), a);
  const dA = thenFree(ops, ops.mul(dm, up), dm);
  return { gate: thenFree(ops, ops.mul(dA, slope), dA, slope), up: dUp };
}

async function gluBackward(
  ops: Ops,
  fused: FusedOps,
  w: MlpWeights,
  dy: Tensor,
  { gate, up, saved }: Pick<MlpSaved, 'up' | 'saved'> & { readonly gate: Tensor },
  dropout: Dropout | null,
  wanted: boolean,
): Promise<{ readonly gate: Tensor; readonly up: Tensor } | null> {
  const m = needsInput(w.down) ? fused.glu(gate, up) : null;
  const terms = await linearBackward(ops, w.down, dy, m, saved.down, dropout, wanted);
  if (m) ops.free(m);
  if (!wanted) return null;
  const dm = castAndFree(
    ops,
    sumAndFree(ops, terms, null, gate.dtype as Precision),
    gate.dtype as Precision,
  );
  const [dGate, dUp] = fused.gluGrad(gate, up, dm);
  ops.free(dm);
  return { gate: dGate, up: dUp };
}
