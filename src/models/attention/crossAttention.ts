import {
  inputPrecision,
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  weightPrecision,
  type Computation,
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
  type NormStats,
} from '../layers/norm';
import type { Heads, KeysAndValues } from '../ops/fusedOps';
import {
  castAndFree,
  concatAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import { scatterRows, type BranchGradient, type DecodeStep } from './attentionBranch';
import type { AttentionOutput } from './attentionPass';
import type { SequenceShape } from './headLayout';
import type { PassContext, SelectedRows } from './passContext';
import { headsFromRows, rowsFromHeads } from './queryBlocks';
import { attendRows, attendRowsBackward, type RowPass } from './rowAttention';
import type { SourcePass } from './sourcePass';

/** See `CrossAttentionSpec`. */
export interface CrossWeights {
  readonly norm_in: Norm;
  readonly q: Linear;
  /** k and v as one product. */
  readonly kv: Linear;
  readonly o: Linear;
  readonly num_heads: number;
  readonly head_dim: number;
}

/** What the backward pass needs of the forward pass. */
export interface CrossSaved {
  /** The branch's input, which belongs to it. */
  readonly x: Tensor; // [n, d]
  /** The pass owns them. */
  readonly rows: SelectedRows | null;
  readonly stats_in: NormStats;
  readonly q: LinearSaved;
  readonly kv: LinearSaved;
  readonly heads: Heads;
  readonly output: AttentionOutput;
  readonly out: LinearSaved;
}

export const isCrossTrained = (w: CrossWeights): boolean =>
  isLinearTrained(w.o) || isLinearTrained(w.kv) || areQueriesTrained(w);

const areQueriesTrained = ({ q, norm_in }: CrossWeights): boolean =>
  isLinearTrained(q) || isNormTrained(norm_in);

const layoutOf = ({ num_heads, head_dim }: CrossWeights, shape: SequenceShape) => ({
  ...shape,
  num_heads,
  num_kv_heads: num_heads,
  head_dim,
});

/** Attention from each token of a batch to all of its source. */
const rowPass = (
  { ops, shape }: PassContext,
  w: CrossWeights,
  { blocks }: SourcePass,
): RowPass => ({
  ops,
  shape: layoutOf(w, shape),
  rowBlocks: blocks,
  softcap: null,
  sinks: null,
});

const sourceOf = ({ source }: PassContext): SourcePass => {
  if (!source) throw new Error('The pass has no source.');
  return source;
};

/** Queries of x [n, d] as heads [batch, heads, length, head_dim]. */
function projectQueries(
  computation: Computation,
  w: CrossWeights,
  shape: SequenceShape,
  x: Tensor,
): Pick<CrossSaved, 'stats_in' | 'q'> & { readonly heads: Tensor } {
  const { ops } = computation;
  const { h, stats } = normForward(ops, w.norm_in, x, inputPrecision(ops, w.q, x));
  const { y, saved } = linearForward(computation, w.q, h);
  const rows = castAndFree(ops, y, weightPrecision(w.q));
  const heads = headsFromRows(ops, rows, layoutOf(w, shape), w.head_dim);
  ops.free(h, rows);
  return { stats_in: stats, q: saved, heads };
}

/** Keys and values of the source [batch · heads, source length, head_dim]. */
function projectSource(
  computation: Computation,
  w: CrossWeights,
  { h, shape }: SourcePass,
): KeysAndValues & { readonly saved: LinearSaved } {
  const { ops } = computation;
  const width = w.num_heads * w.head_dim;
  const { y, saved } = linearForward(computation, w.kv, h);
  const product = castAndFree(ops, y, weightPrecision(w.kv));
  const [k, v] = ops.split(product, [width, width], 1) as [Tensor, Tensor];
  ops.free(product);
  const byHead = (rows: Tensor): Tensor => {
    const heads = thenFree(ops, headsFromRows(ops, rows, layoutOf(w, shape), w.head_dim), rows);
    const flat = [shape.batch * w.num_heads, shape.length, w.head_dim];
    return thenFree(ops, ops.reshape(heads, flat), heads);
  };
  return { k: byHead(k), v: byHead(v), saved };
}

/**
 * x + attention(x) to the source: x [n, d] -> y [m, d] of the selected rows, or of all. Takes
 * ownership of x, which is saved. The caller frees y and, by `freeCross`, what was saved.
 */
export function crossForward(
  pass: PassContext,
  w: CrossWeights,
  x: Tensor,
  rows: SelectedRows | null,
): { readonly y: Tensor; readonly saved: CrossSaved } {
  const { ops } = pass;
  const source = sourceOf(pass);
  const { heads: queries, stats_in, q } = projectQueries(pass, w, pass.shape, x);
  const { k, v, saved: kv } = projectSource(pass, w, source);
  const heads = { q: queries, k, v };
  const output = attendRows(rowPass(pass, w, source), heads, false);
  const oRows = rows ? ops.gather(output.o, rows.indices) : output.o;
  const residual = rows ? ops.gather(x, rows.indices) : x;
  const { y, saved: out } = linearForward(pass, w.o, oRows, { residual });
  if (rows) ops.free(oRows, residual);
  return { y, saved: { x, rows, stats_in, q, kv, heads, output, out } };
}

/** Frees what was saved, and keys and values only if `includeKeys`. */
export function freeCross(
  ops: Ops,
  { x, stats_in, q, kv, heads, output, out }: CrossSaved,
  includeKeys = true,
): void {
  const saved = [q, kv, out].flatMap(savedTensors);
  ops.free(x, ...statsTensors(stats_in), heads.q, output.o, ...saved);
  if (includeKeys) ops.free(heads.k, heads.v);
}

/**
 * The next token of each of several sequences: x [m, d] -> x + attention(x) [m, d], each with the
 * keys and values of its own source. Frees nothing.
 */
export function crossStep(
  { ops, products, shape }: Pick<DecodeStep, 'ops' | 'products' | 'shape'>,
  w: CrossWeights,
  x: Tensor,
  sources: readonly KeysAndValues[],
): Tensor {
  const computation = { ops, dropout: null, products };
  const { heads, stats_in, q } = projectQueries(computation, w, shape, x);
  const ones = new Array<number>(sources.length).fill(1);
  const queries = ops.split(heads, ones, 2); // [1, heads, 1, head_dim]
  const outputs = sources.map(({ k, v }, i) => {
    const block = { start: 0, end: 1, from: 0, to: k.shape[1]!, mask: null };
    const own = layoutOf(w, { batch: 1, length: 1 });
    const pass = { ops, shape: own, rowBlocks: [block], softcap: null, sinks: null };
    return attendRows(pass, { q: queries[i]!, k, v }, false).o;
  });
  const o = concatAndFree(ops, outputs, 0);
  const { y, saved: out } = linearForward(computation, w.o, o, { residual: x });
  ops.free(heads, ...queries, ...statsTensors(stats_in), o, ...[q, out].flatMap(savedTensors));
  return y;
}

/**
 * Gradient of x [n, d] for dy [m, d]; null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters and of the source. Frees none of its inputs.
 */
export async function crossBackward(
  pass: PassContext,
  w: CrossWeights,
  saved: CrossSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const source = sourceOf(pass);
  const wantsX = wantsInput || areQueriesTrained(w);
  const wantsSource = isLinearTrained(w.kv) || source.wantsGradient;
  const dO = await outputBackward(pass, w, saved, { dy, wantsInput: wantsX || wantsSource });
  if (!dO) return null;
  const gradients = attendRowsBackward(rowPass(pass, w, source), saved.heads, saved.output, dO);
  const { q, k, v } = gradients.dHeads;
  ops.free(dO);
  if (wantsSource) await sourceBackward(pass, w, saved, { k, v });
  ops.free(k, v);
  const dq = thenFree(ops, rowsFromHeads(ops, q, layoutOf(w, pass.shape)), q);
  const dx = wantsX ? await queryBackward(pass, w, saved, { dy: dq, residual, wantsInput }) : null;
  ops.free(dq);
  return dx;
}

/** The gradient of what was attended to [n, heads · head_dim], or null unless `wantsInput`. */
async function outputBackward(
  pass: PassContext,
  w: CrossWeights,
  { output, out, rows, heads }: CrossSaved,
  { dy, wantsInput }: Pick<BranchGradient, 'dy' | 'wantsInput'>,
): Promise<Tensor | null> {
  const { ops } = pass;
  const { o } = output;
  const x = rows && needsInput(w.o) ? ops.gather(o, rows.indices) : o;
  const terms = await linearBackward(pass, w.o, { dy, x, saved: out }, wantsInput);
  if (x !== o) ops.free(x);
  if (!wantsInput) return null;
  const dRows = sumAndFree(ops, terms, null, heads.v.dtype as Precision);
  const dO = scatterRows(ops, dRows, rows);
  if (dO !== dRows) ops.free(dRows);
  return dO;
}

/** Adds to the gradient of the source, if that is wanted. Frees nothing. */
async function sourceBackward(
  pass: PassContext,
  w: CrossWeights,
  { kv }: CrossSaved,
  gradient: KeysAndValues,
): Promise<void> {
  const { ops } = pass;
  const source = sourceOf(pass);
  const { batch, length } = source.shape;
  const toRows = (x: Tensor): Tensor => {
    const heads = ops.reshape(x, [batch, w.num_heads, length, w.head_dim]);
    return thenFree(ops, rowsFromHeads(ops, heads, layoutOf(w, source.shape)), heads);
  };
  const dy = concatAndFree(ops, [toRows(gradient.k), toRows(gradient.v)], 1);
  const of = { dy, x: needsInput(w.kv) ? source.h : null, saved: kv };
  const terms = await linearBackward(pass, w.kv, of, source.wantsGradient);
  ops.free(dy);
  if (!source.wantsGradient) return;
  const all = source.gradient ? [source.gradient, ...terms] : terms;
  source.gradient = sumAndFree(ops, all);
}

/** The queries' layer and the norm before it: the gradient of x, or null unless `wantsInput`. */
async function queryBackward(
  pass: PassContext,
  w: CrossWeights,
  { x, stats_in: stats, q }: CrossSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const wantsH = wantsInput || isNormTrained(w.norm_in);
  const h = needsInput(w.q)
    ? recomputeNorm(ops, w.norm_in, { x, stats }, inputPrecision(ops, w.q, x))
    : null;
  const terms = await linearBackward(pass, w.q, { dy, x: h, saved: q }, wantsH);
  if (h) ops.free(h);
  if (!wantsH) return null;
  const dh = sumAndFree(ops, terms);
  const dx = await branchInputGradient(ops, w.norm_in, { x, stats }, { dh, residual });
  if (wantsInput) return dx;
  ops.free(dx);
  return null;
}
