import {
  attend,
  attendBackward,
  fromHeads,
  toHeads,
  type RowBlock,
  type AttentionShape,
  type Heads,
  type RotaryTable,
} from './attention';
import type { Dropout } from '../layers/dropout';
import {
  inputPrecision,
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  weightPrecision,
  savedTensors,
  sumAndFree,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  isNormTrained,
  recomputeNorm,
  normBackward,
  normForward,
  branchInputGradient,
  statsTensors,
  type Norm,
  type NormStats,
} from '../layers/norm';
import { thenFree, type Ops, type Precision, type Tensor } from '../ops/ops';
import { qkNormBackward, qkNormForward, type QkNorm } from './qkNorm';

export interface AttentionWeights {
  /** On what comes in, and on what goes out before it is added. */
  readonly norm_in: Norm | null;
  readonly norm_out: Norm | null;
  /** q, k and v in one product, rotary pairs of q and k side by side */
  readonly qkv: Linear;
  readonly qk_norm: QkNorm | null;
  readonly o: Linear;
  readonly softcap: number | null;
  /** Keys into the pass: how far queries see, how they turn. */
  readonly windowKey: string;
  readonly ropeKey: string;
}

/** What the layers of one pass share. n = batch · length. */
export interface PassContext {
  readonly shape: AttentionShape;
  readonly ropeTables: ReadonlyMap<string, RotaryTable>;
  readonly rowBlocks: ReadonlyMap<string, readonly RowBlock[]>;
  readonly dropout: Dropout | null;
  /** Keep attention's probabilities for the backward pass instead of computing them again. */
  readonly keepProbabilities: boolean;
}

/** The rows that go on after the last layer's attention. */
export interface SelectedRows {
  readonly indices: Tensor; // [m] of n
  /** For each of the n rows its place among the m, or m. */
  readonly inverse: Tensor; // [n]
}

export interface AttentionSaved {
  readonly stats_in: NormStats | null;
  readonly qkv: LinearSaved;
  /** Before the norms of q and k, where there are such. [n, (heads + 2 kv_heads) · head_dim] */
  readonly raw: Tensor | null;
  readonly heads: Heads;
  readonly o: Tensor; // [n, heads · head_dim]
  readonly probabilities: readonly Tensor[] | null;
  readonly out: LinearSaved;
  /** What goes out, before its norm, and that norm's statistics. */
  readonly branch: { readonly y: Tensor; readonly stats: NormStats } | null;
}

export const isAttentionTrained = ({
  qkv,
  o,
  norm_in,
  norm_out,
  qk_norm,
}: AttentionWeights): boolean =>
  isLinearTrained(qkv) ||
  isLinearTrained(o) ||
  isNormTrained(norm_in) ||
  isNormTrained(norm_out) ||
  (qk_norm?.trains ?? false);

/** Queries, keys and values of x [n, d]. */
function headsOf(
  ops: Ops,
  w: AttentionWeights,
  x: Tensor,
  shape: AttentionShape,
  turn: RotaryTable,
  dropout: Dropout | null,
) {
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.qkv, x));
  const { y, saved: qkv } = linearForward(ops, w.qkv, normed?.h ?? x, dropout);
  const ready = w.qk_norm ? qkNormForward(ops, w.qk_norm, y, shape) : y;
  const heads = toHeads(ops, ready, shape, turn, weightPrecision(w.qkv));
  if (normed) ops.free(normed.h);
  ops.free(ready);
  return { heads, qkv, stats_in: normed?.stats ?? null, raw: w.qk_norm ? y : null };
}

/** residual + norm_out?(o Wᵀ) */
function outputOf(
  ops: Ops,
  w: AttentionWeights,
  o: Tensor,
  residual: Tensor,
  dropout: Dropout | null,
): Pick<AttentionSaved, 'out' | 'branch'> & { readonly y: Tensor } {
  if (!w.norm_out) {
    const { y, saved: out } = linearForward(ops, w.o, o, dropout, residual);
    return { y, out, branch: null };
  }
  const { y: branch, saved: out } = linearForward(ops, w.o, o, dropout);
  const { h, stats } = normForward(ops, w.norm_out, branch);
  return { y: thenFree(ops, ops.add(h, residual), h), out, branch: { y: branch, stats } };
}

/**
 * residual + attention(x): x [n, d] -> [m, d], of the chosen rows where there are such. x is not
 * taken over.
 */
export function attentionForward(
  ops: Ops,
  w: AttentionWeights,
  x: Tensor,
  pass: PassContext,
  rows: SelectedRows | null,
  keep: boolean,
): { readonly y: Tensor; readonly saved: AttentionSaved } {
  const first = headsOf(ops, w, x, pass.shape, pass.ropeTables.get(w.ropeKey)!, pass.dropout);
  const { o, probabilities } = attend(
    ops,
    first.heads,
    pass.shape,
    pass.rowBlocks.get(w.windowKey)!,
    keep && pass.keepProbabilities,
    w.softcap,
  );
  const oRows = rows ? ops.gather(o, rows.indices) : o;
  const xRows = rows ? ops.gather(x, rows.indices) : x;
  const { y, out, branch } = outputOf(ops, w, oRows, xRows, pass.dropout);
  if (rows) ops.free(oRows, xRows);
  return { y, saved: { ...first, o, probabilities, out, branch } };
}

/** Keys and values of the tokens so far: [kv_heads, length, head_dim], one sequence. */
export interface AttentionCache {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * One more token: x [1, d] -> residual + attention(x) [1, d]; takes the cache over, returns the
 * longer one.
 */
export function attentionStep(
  ops: Ops,
  w: AttentionWeights,
  x: Tensor,
  cache: AttentionCache,
  shape: AttentionShape,
  turn: RotaryTable,
  window: number | null,
): { readonly y: Tensor; readonly cache: AttentionCache } {
  const { heads, qkv, stats_in, raw } = headsOf(ops, w, x, shape, turn, null);
  const k = thenFree(ops, ops.concat([cache.k, heads.k], 1), cache.k, heads.k);
  const v = thenFree(ops, ops.concat([cache.v, heads.v], 1), cache.v, heads.v);
  const to = k.shape[1]!;
  const from = window === null ? 0 : Math.max(0, to - window);
  const { o } = attend(
    ops,
    { q: heads.q, k, v },
    shape,
    [{ start: 0, end: 1, from, to, mask: null }],
    false,
    w.softcap,
  );
  const { y, out, branch } = outputOf(ops, w, o, x, null);
  ops.free(heads.q, o, ...rest({ stats_in, qkv, raw, out, branch }));
  return { y, cache: { k, v } };
}

function rest({
  stats_in,
  qkv,
  raw,
  out,
  branch,
}: Pick<AttentionSaved, 'stats_in' | 'qkv' | 'raw' | 'out' | 'branch'>): Tensor[] {
  return [
    ...(stats_in ? statsTensors(stats_in) : []),
    ...savedTensors(qkv),
    ...(raw ? [raw] : []),
    ...savedTensors(out),
    ...(branch ? [branch.y, ...statsTensors(branch.stats)] : []),
  ];
}

export function freeAttention(ops: Ops, saved: AttentionSaved, keysToo = true): void {
  const { heads, o, probabilities } = saved;
  ops.free(
    heads.q,
    ...(keysToo ? [heads.k, heads.v] : []),
    o,
    ...(probabilities ?? []),
    ...rest(saved),
  );
}

/**
 * Gradient of x [n, d] for dy [m, d] of what came out, plus `residual` [n, d]; null where nothing
 * below needs it. Takes neither over.
 */
export async function attentionBackward(
  ops: Ops,
  w: AttentionWeights,
  x: Tensor,
  dy: Tensor,
  saved: AttentionSaved,
  pass: PassContext,
  rows: SelectedRows | null,
  wanted: boolean,
  residual: Tensor | null,
): Promise<Tensor | null> {
  const { o, heads, branch, stats_in, raw } = saved;
  const wantedHeads =
    wanted || isLinearTrained(w.qkv) || isNormTrained(w.norm_in) || (w.qk_norm?.trains ?? false);
  const dBranch =
    w.norm_out && branch
      ? await normBackward(ops, w.norm_out, branch.y, branch.stats, dy, null)
      : dy;
  const oRows = rows && needsInput(w.o) ? ops.gather(o, rows.indices) : o;
  const terms = await linearBackward(
    ops,
    w.o,
    dBranch,
    oRows,
    saved.out,
    pass.dropout,
    wantedHeads,
  );
  if (oRows !== o) ops.free(oRows);
  if (dBranch !== dy) ops.free(dBranch);
  if (!wantedHeads) return null;
  const dORows = sumAndFree(ops, terms, null, heads.v.dtype as Precision);
  const dO = scatterRows(ops, dORows, rows);
  if (dO !== dORows) ops.free(dORows);
  const dHeads = attendBackward(
    ops,
    heads,
    saved,
    dO,
    pass.shape,
    pass.rowBlocks.get(w.windowKey)!,
    w.softcap,
  );
  const turned = thenFree(
    ops,
    fromHeads(
      ops,
      dHeads,
      pass.shape,
      pass.ropeTables.get(w.ropeKey)!,
      needsInput(w.qkv) || w.qk_norm ? 'f32' : weightPrecision(w.qkv),
    ),
    dO,
  );
  const dQkv =
    w.qk_norm && raw ? await qkNormBackward(ops, w.qk_norm, raw, turned, pass.shape) : turned;
  const h = !needsInput(w.qkv)
    ? null
    : w.norm_in && stats_in
      ? recomputeNorm(ops, w.norm_in, x, stats_in, inputPrecision(ops, w.qkv, x))
      : x;
  const wantedInput = wanted || isNormTrained(w.norm_in);
  const dh = await linearBackward(ops, w.qkv, dQkv, h, saved.qkv, pass.dropout, wantedInput);
  ops.free(dQkv);
  if (h && h !== x) ops.free(h);
  if (!wantedInput) return null;
  const dx = await branchInputGradient(ops, w.norm_in, x, stats_in, sumAndFree(ops, dh), residual);
  if (wanted) return dx;
  ops.free(dx);
  return null;
}

/** [m, d] -> [n, d], zero where a row was left out; x itself where none was. */
export function scatterRows(ops: Ops, x: Tensor, rows: SelectedRows | null): Tensor {
  if (!rows) return x;
  const padded = ops.pad(x, 0, 0, 1);
  return thenFree(ops, ops.gather(padded, rows.inverse), padded);
}
