import { branchOutputGradient, type BranchOutput } from '../layers/branchOutput';
import {
  inputPrecision,
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  branchInputGradient,
  isNormTrained,
  normForward,
  recomputeNorm,
  statsTensors,
  type Norm,
  type NormSaved,
  type NormStats,
} from '../layers/norm';
import {
  castAndFree,
  concatAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Tensor,
} from '../ops/ops';
import {
  projectOutput,
  scatterRows,
  type AttentionCache,
  type BranchGradient,
  type DecodeStep,
} from './attentionBranch';
import {
  deltaBackward,
  deltaForward,
  deltaOutput,
  isDeltaNetTrained,
  withoutPadding,
  type DeltaNet,
  type DeltaPass,
  type DeltaState,
} from './deltaNet';
import type { PassContext, SelectedRows } from './passContext';

/** y = residual + scale_out · norm_out(deltaNet(norm_in(x)) Wᵀ) */
export interface DeltaWeights extends BranchOutput {
  readonly kind: 'delta';
  readonly norm_in: Norm | null;
  /** The four layers before the rule as one product. */
  readonly inputs: Linear;
  readonly net: DeltaNet;
  readonly o: Linear;
}

/** What the backward pass needs of the forward pass. */
export interface DeltaSaved {
  /** The branch's input, which the layer owns. */
  readonly x: Tensor; // [n, d]
  /** The pass owns them. */
  readonly rows: SelectedRows | null;
  readonly stats_in: NormStats | null;
  readonly inputs: LinearSaved;
  /** Of padding, zeros. */
  readonly product: Tensor; // [n, 2 keys + 2 values + 2 heads]
  /** What the gated norm reads. */
  readonly core: Tensor; // [n, values]
  /** Only in a pass that keeps states. */
  readonly state: DeltaState | null;
  readonly out: LinearSaved;
  /** Of norm_out. */
  readonly branch: NormSaved | null;
}

export const isDeltaTrained = (w: DeltaWeights): boolean =>
  isLinearTrained(w.o) || isNormTrained(w.norm_out) || isBelowTrained(w);

const isBelowTrained = ({ inputs, norm_in, net }: DeltaWeights): boolean =>
  isLinearTrained(inputs) || isNormTrained(norm_in) || isDeltaNetTrained(net);

const deltaPass = ({ ops, shape, taps, chunks }: PassContext): DeltaPass => ({
  ops,
  shape,
  taps,
  chunks: chunks!,
});

/** As `attentionForward`. */
export function deltaBranchForward(
  pass: PassContext,
  w: DeltaWeights,
  x: Tensor,
  { rows }: { readonly rows: SelectedRows | null },
): { readonly y: Tensor; readonly saved: DeltaSaved } {
  const { ops } = pass;
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.inputs, x));
  const { y: projected, saved: inputs } = linearForward(pass, w.inputs, normed?.h ?? x);
  if (normed) ops.free(normed.h);
  const own = deltaPass(pass);
  const product = withoutPadding(own, projected);
  const { o, core, state } = deltaForward(own, w.net, product, null);
  if (!pass.keepsStates) ops.free(...stateTensors(state));
  const oRows = rows ? thenFree(ops, ops.gather(o, rows.indices), o) : o;
  const xRows = rows ? ops.gather(x, rows.indices) : x;
  const { y, ...output } = projectOutput(pass, w, oRows, xRows);
  ops.free(oRows, ...(rows ? [xRows] : []));
  const kept = { product, core, state: pass.keepsStates ? state : null };
  return { y, saved: { x, rows, stats_in: normed?.stats ?? null, inputs, ...kept, ...output } };
}

const stateTensors = ({ inputs, state }: DeltaState): readonly Tensor[] => [inputs, state];

/** What later tokens need of those of a prompt, whose pass kept it. */
export const cacheOfDelta = ({ state }: DeltaSaved): AttentionCache => ({
  k: state!.inputs,
  v: state!.state,
});

/** As `attentionStep`. A cache has no more numbers after many tokens than after one. */
export function deltaBranchStep(
  step: DecodeStep,
  w: DeltaWeights,
  x: Tensor,
  caches: AttentionCache[],
): Tensor {
  const { ops } = step;
  const computation = { ops, dropout: null, generates: true };
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.inputs, x));
  const { y, saved: inputs } = linearForward(computation, w.inputs, normed?.h ?? x);
  if (normed) ops.free(normed.h, ...statsTensors(normed.stats));
  const product = castAndFree(ops, y, 'f32');
  const length = step.shape.length / caches.length;
  const pass = { ops, shape: { batch: 1, length }, taps: [], chunks: step.chunks! };
  const outputs = rowsOf(ops, product, caches.length).map((own, i) => {
    const { k, v } = caches[i]!;
    const { o, core, state } = deltaForward(pass, w.net, own, { inputs: k, state: v });
    caches[i] = { k: state.inputs, v: state.state };
    ops.free(own, core, k, v);
    return o;
  });
  const o = concatAndFree(ops, outputs, 0);
  const output = projectOutput(computation, w, o, x);
  ops.free(o, ...projectionTensors({ ...output, stats_in: null, inputs }));
  return output.y;
}

/** Frees x [m, d], and cuts it into as many parts. */
function rowsOf(ops: Ops, x: Tensor, parts: number): Tensor[] {
  if (parts === 1) return [x];
  const sizes = new Array<number>(parts).fill(x.shape[0]! / parts);
  const rows = ops.split(x, sizes, 0);
  ops.free(x);
  return rows;
}

function projectionTensors({
  stats_in,
  inputs,
  out,
  branch,
}: Pick<DeltaSaved, 'stats_in' | 'inputs' | 'out' | 'branch'>): Tensor[] {
  return [
    ...(stats_in ? statsTensors(stats_in) : []),
    ...savedTensors(inputs),
    ...savedTensors(out),
    ...(branch ? [branch.x, ...statsTensors(branch.stats)] : []),
  ];
}

/** As `freeAttention`. */
export function freeDelta(ops: Ops, saved: DeltaSaved, includeState = true): void {
  const { product, core, state } = saved;
  ops.free(product, core, ...(state && includeState ? stateTensors(state) : []));
  ops.free(...projectionTensors(saved));
}

/** As `attentionBackward`. */
export async function deltaBranchBackward(
  pass: PassContext,
  w: DeltaWeights,
  saved: DeltaSaved,
  gradient: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const wantsProduct = gradient.wantsInput || isBelowTrained(w);
  const dO = await outputBackward(pass, w, saved, { ...gradient, wantsInput: wantsProduct });
  if (!dO) return null;
  const dy = await deltaBackward(deltaPass(pass), w.net, saved, dO);
  ops.free(dO);
  return inputsBackward(pass, w, saved, { ...gradient, dy });
}

/** The gradient of the rule's outputs [n, values], or null unless `wantsInput`. */
async function outputBackward(
  pass: PassContext,
  w: DeltaWeights,
  { product, core, out, rows, branch }: DeltaSaved,
  { dy, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dBranch = await branchOutputGradient(ops, w, branch, dy);
  const o = needsInput(w.o) ? deltaOutput(ops, w.net, product, core) : null;
  const x = o && rows ? thenFree(ops, ops.gather(o, rows.indices), o) : o;
  const terms = await linearBackward(pass, w.o, { dy: dBranch, x, saved: out }, wantsInput);
  ops.free(...(x ? [x] : []), ...(dBranch === dy ? [] : [dBranch]));
  if (!wantsInput) return null;
  const dRows = castAndFree(ops, sumAndFree(ops, terms), 'f32');
  const dO = scatterRows(ops, dRows, rows);
  if (dO !== dRows) ops.free(dRows);
  return dO;
}

/** The gradient of x plus the residual, or null unless `wantsInput`. Frees dy. */
async function inputsBackward(
  pass: PassContext,
  w: DeltaWeights,
  { x, inputs, stats_in }: DeltaSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const h =
    w.norm_in && stats_in && needsInput(w.inputs)
      ? recomputeNorm(ops, w.norm_in, { x, stats: stats_in }, inputPrecision(ops, w.inputs, x))
      : null;
  const wantsH = wantsInput || isNormTrained(w.norm_in);
  const terms = await linearBackward(pass, w.inputs, { dy, x: h ?? x, saved: inputs }, wantsH);
  ops.free(dy, ...(h ? [h] : []));
  if (!wantsH) return null;
  const dh = sumAndFree(ops, terms);
  const dx = await branchInputGradient(ops, w.norm_in, { x, stats: stats_in }, { dh, residual });
  if (wantsInput) return dx;
  ops.free(dx);
  return null;
}
