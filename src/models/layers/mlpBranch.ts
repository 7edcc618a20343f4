import type { Activation, ClampedGate } from '../../formats/architecture/spec';
import type { BranchGradient } from '../attention/attentionBranch';
import type { FusedOps } from '../ops/fusedOps';
import {
  castAndFree,
  sumAndFree,
  thenFree,
  withF32,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import { applyActivation, applyActivationWithSlope } from './activation';
import { clampedBackward, clampedForward } from './clampedGate';
import { addBranch, branchOutputGradient, isPlainOutput, type BranchOutput } from './branchOutput';
import {
  inputPrecision,
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Computation,
  type Linear,
  type LinearOutput,
  type LinearSaved,
} from './linear';
import {
  branchInputGradient,
  isNormTrained,
  normForward,
  recomputeNorm,
  statsTensors,
  type Norm,
  type NormSaved,
  type NormStats,
} from './norm';

/** y = residual + scale_out · norm_out(down(act(gate h) · up h)) with h = norm_in(x). */
export interface MlpWeights extends BranchOutput {
  readonly kind: 'mlp';
  readonly norm_in: Norm | null;
  readonly activation: Activation;
  /** In the place of act(gate h) · up h; null: that. */
  readonly clamped: ClampedGate | null;
  /** Null: down(act(up h)). */
  readonly gate: Linear | null;
  readonly up: Linear;
  readonly down: Linear;
}

/** What the backward pass needs of the forward pass. */
export interface MlpSaved {
  /** The branch's input, which the layer owns. */
  readonly x: Tensor; // [m, d]
  readonly stats_in: NormStats | null;
  readonly gate: Tensor | null; // [m, intermediate]
  readonly up: Tensor; // [m, intermediate]
  readonly linears: Readonly<Record<'gate' | 'up' | 'down', LinearSaved>>;
  /** Of norm_out. */
  readonly branch: NormSaved | null;
}

const NOTHING_SAVED: LinearSaved = { xa: null, z: null };

export const isMlpTrained = (w: MlpWeights): boolean =>
  isLinearTrained(w.down) || isNormTrained(w.norm_out) || isInnerTrained(w);

/** Whether something before the activation trains. */
const isInnerTrained = ({ up, gate, norm_in }: MlpWeights): boolean =>
  isNormTrained(norm_in) || isLinearTrained(up) || (gate !== null && isLinearTrained(gate));

/**
 * residual + mlp(x), or mlp(x) alone, [m, d]. Frees neither; the caller frees y and,
 * by `freeMlp`, what was saved.
 */
export function mlpForward(
  computation: Computation,
  w: MlpWeights,
  x: Tensor,
  residual: Tensor | null,
): { readonly y: Tensor; readonly saved: MlpSaved } {
  const { ops } = computation;
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.up, x));
  const h = normed?.h ?? x;
  const dtype = innerPrecision(ops, w, h);
  const gate = w.gate && projectToInner(computation, w.gate, h, dtype);
  const up = projectToInner(computation, w.up, h, dtype);
  if (normed) ops.free(normed.h);
  const m = innerForward(ops, w, gate?.y ?? null, up.y);
  const down = projectDown(computation, w, m, residual);
  ops.free(m);
  return {
    y: down.y,
    saved: {
      x,
      stats_in: normed?.stats ?? null,
      gate: gate?.y ?? null,
      up: up.y,
      linears: { gate: gate?.saved ?? NOTHING_SAVED, up: up.saved, down: down.saved },
      branch: down.branch,
    },
  };
}

/** The precision of gate and up: that of their products, or f32 if one of the two trains whole. */
function innerPrecision(ops: Ops, { gate, up }: MlpWeights, h: Tensor): Precision {
  const own = inputPrecision(ops, up, h);
  return !gate || inputPrecision(ops, gate, h) === own ? own : 'f32';
}

/** h W; it is saved for the backward pass. */
function projectToInner(
  computation: Computation,
  layer: Linear,
  h: Tensor,
  dtype: Precision,
): LinearOutput {
  const { ops } = computation;
  const { y, saved } = linearForward(computation, layer, h, { dtype });
  return { y: castAndFree(ops, y, dtype), saved };
}

/** residual + scale_out · norm_out(m W) */
function projectDown(
  computation: Computation,
  w: MlpWeights,
  m: Tensor,
  residual: Tensor | null,
): LinearOutput & Pick<MlpSaved, 'branch'> {
  const { ops } = computation;
  if (isPlainOutput(w))
    return { ...linearForward(computation, w.down, m, { residual }), branch: null };
  const { y: x, saved } = linearForward(computation, w.down, m);
  return { saved, ...addBranch(ops, w, x, residual) };
}

/** act(gate) · up, or act(up) */
function innerForward(
  ops: Ops,
  { activation, clamped }: MlpWeights,
  gate: Tensor | null,
  up: Tensor,
): Tensor {
  if (clamped && gate) return clampedForward(ops, clamped, gate, up);
  if (ops.fused && gate && activation === 'silu') return ops.fused.glu(gate, up);
  const a = withF32(ops, gate ?? up, (x) => applyActivation(ops, activation, x));
  return gate ? thenFree(ops, ops.mul(a, up), a) : a;
}

/** Frees what was saved, but not x. */
export function freeMlp(ops: Ops, { stats_in, gate, up, linears, branch }: MlpSaved): void {
  ops.free(
    ...(stats_in ? statsTensors(stats_in) : []),
    ...(gate ? [gate] : []),
    up,
    ...Object.values(linears).flatMap(savedTensors),
    ...(branch ? [branch.x, ...statsTensors(branch.stats)] : []),
  );
}

/**
 * Gradient of x [m, d] plus the residual; null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters. Frees none of its inputs.
 */
export async function mlpBackward(
  computation: Computation,
  w: MlpWeights,
  saved: MlpSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = computation;
  const dBranch = await branchOutputGradient(ops, w, saved.branch, dy);
  const wantsInner = wantsInput || isInnerTrained(w);
  const dInner = await innerBackward(computation, w, saved, { dy: dBranch, wantsInner });
  if (dBranch !== dy) ops.free(dBranch);
  if (!dInner) return null;
  const wantsH = wantsInput || isNormTrained(w.norm_in);
  const dh = await projectionBackward(computation, w, saved, { dInner, wantsH });
  if (!dh) return null;
  const dx = await branchInputGradient(
    ops,
    w.norm_in,
    { x: saved.x, stats: saved.stats_in },
    { dh, residual },
  );
  if (wantsInput) return dx;
  ops.free(dx);
  return null;
}

/** Gradients of gate and up. [m, intermediate] */
interface InnerGradient {
  readonly gate: Tensor | null;
  readonly up: Tensor;
}

interface DownGradient {
  readonly dy: Tensor; // [m, d]
  readonly wantsInner: boolean;
}

/** The way back from the output to gate and up; null unless `wantsInner`. Does not free dy. */
async function innerBackward(
  computation: Computation,
  w: MlpWeights,
  saved: MlpSaved,
  gradient: DownGradient,
): Promise<InnerGradient | null> {
  const { ops } = computation;
  const { gate, up } = saved;
  if (w.clamped && gate)
    return clampedInnerBackward(computation, w, { ...saved, gate, clamped: w.clamped }, gradient);
  if (ops.fused && gate && w.activation === 'silu') {
    return gluBackward({ ...computation, fused: ops.fused }, w, { ...saved, gate }, gradient);
  }
  const { y: a, slope } = withF32(ops, gate ?? up, (x) =>
    applyActivationWithSlope(ops, w.activation, x),
  );
  const isProduct = gate !== null && needsInput(w.down);
  const m = isProduct ? ops.mul(a, up) : a;
  const dm = await downBackward(computation, w, { ...gradient, saved, m });
  if (isProduct) ops.free(m);
  if (!dm) {
    ops.free(a, slope);
    return null;
  }
  if (!gate) return { gate: null, up: thenFree(ops, ops.mul(dm, slope), dm, slope, a) };
  const dUp = thenFree(ops, ops.mul(dm, a), a);
  const dA = thenFree(ops, ops.mul(dm, up), dm);
  return { gate: thenFree(ops, ops.mul(dA, slope), dA, slope), up: dUp };
}

/** The same for a clamped gate. */
async function clampedInnerBackward(
  computation: Computation,
  w: MlpWeights,
  saved: MlpSaved & { readonly gate: Tensor; readonly clamped: ClampedGate },
  gradient: DownGradient,
): Promise<InnerGradient | null> {
  const { ops } = computation;
  const { m, backward, free } = clampedBackward(ops, saved.clamped, saved.gate, saved.up);
  const dm = await downBackward(computation, w, { ...gradient, saved, m });
  const inner = dm && backward(dm);
  free();
  ops.free(m, ...(dm ? [dm] : []));
  return inner;
}

/** The same for SwiGLU by the fused kernels. */
async function gluBackward(
  computation: Computation & { readonly fused: FusedOps },
  w: MlpWeights,
  saved: MlpSaved & { readonly gate: Tensor },
  gradient: DownGradient,
): Promise<InnerGradient | null> {
  const { ops, fused } = computation;
  const { gate, up } = saved;
  const dtype = gate.dtype as Precision;
  const m = needsInput(w.down) ? fused.glu(gate, up) : null;
  const sum = await downBackward(computation, w, { ...gradient, saved, m, dtype });
  if (m) ops.free(m);
  if (!sum) return null;
  const dm = castAndFree(ops, sum, dtype);
  const [dGate, dUp] = fused.gluGrad(gate, up, dm);
  ops.free(dm);
  return { gate: dGate, up: dUp };
}

/** dm [m, intermediate] of the product m that the down projection reads. */
async function downBackward(
  computation: Computation,
  w: MlpWeights,
  {
    dy,
    wantsInner,
    saved,
    m,
    dtype = 'f32',
  }: DownGradient & {
    readonly saved: MlpSaved;
    readonly m: Tensor | null;
    readonly dtype?: Precision;
  },
): Promise<Tensor | null> {
  const gradient = { dy, x: m, saved: saved.linears.down, dtype };
  const terms = await linearBackward(computation, w.down, gradient, wantsInner);
  return wantsInner ? sumAndFree(computation.ops, terms, null, dtype) : null;
}

/** The way back through gate and up: dh [m, d], or null unless `wantsH`. Frees their gradients. */
async function projectionBackward(
  computation: Computation,
  w: MlpWeights,
  saved: MlpSaved,
  { dInner, wantsH }: { readonly dInner: InnerGradient; readonly wantsH: boolean },
): Promise<Tensor | null> {
  const { ops } = computation;
  const { linears } = saved;
  const h = projectionInput(ops, w, saved);
  const terms: Tensor[] = [];
  if (w.gate && dInner.gate) {
    const gradient = { dy: dInner.gate, x: h, saved: linears.gate };
    terms.push(...(await linearBackward(computation, w.gate, gradient, wantsH)));
  }
  const gradient = { dy: dInner.up, x: h, saved: linears.up };
  terms.push(...(await linearBackward(computation, w.up, gradient, wantsH)));
  ops.free(dInner.up, ...(dInner.gate ? [dInner.gate] : []));
  if (h && h !== saved.x) ops.free(h);
  return wantsH ? sumAndFree(ops, terms) : null;
}

/** What gate and up read, if their gradients need it: x itself, or its norm, computed again. */
function projectionInput(ops: Ops, w: MlpWeights, { x, stats_in }: MlpSaved): Tensor | null {
  const isNeeded = needsInput(w.up) || (w.gate !== null && needsInput(w.gate));
  if (!isNeeded) return null;
  if (!w.norm_in || !stats_in) return x;
  const dtype = inputPrecision(ops, w.up, x);
  return recomputeNorm(ops, w.norm_in, { x, stats: stats_in }, dtype);
}
