import {
  attentionBackward,
  attentionForward,
  attentionStep,
  freeAttention,
  isAttentionTrained,
  scatterRows,
  type AttentionCache,
  type AttentionSaved,
  type AttentionWeights,
  type PassContext,
  type SelectedRows,
} from '../attention/attentionBranch';
import type { AttentionShape, RotaryTable } from '../attention/attention';
import { isLinearTrained } from './linear';
import { freeMlp, mlpBackward, mlpForward, type MlpSaved, type MlpWeights } from './mlpBranch';
import {
  isNormTrained,
  normBackward,
  normForward,
  statsTensors,
  type Norm,
  type NormStats,
} from './norm';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

export interface LayerWeights {
  readonly attention: AttentionWeights;
  readonly mlp: MlpWeights;
  /** Norms of the sums. */
  readonly after_attention: Norm | null;
  readonly after_mlp: Norm | null;
  readonly residual: 'sequential' | 'parallel';
}

/** A sum and the statistics of its norm. */
interface Sum {
  readonly x: Tensor;
  readonly stats: NormStats;
}

/**
 * What the backward pass needs of the forward pass. m = n, except in the last layer: there the
 * chosen rows.
 */
export interface LayerSaved {
  readonly x: Tensor; // [n, d]
  readonly x1: Tensor; // [m, d]: what the MLP reads
  readonly rows: SelectedRows | null;
  readonly attention: AttentionSaved;
  readonly mlp: MlpSaved;
  readonly sums: { readonly attention: Sum | null; readonly mlp: Sum | null };
}

export function isLayerTrained({
  attention: a,
  mlp: m,
  after_attention,
  after_mlp,
}: LayerWeights): boolean {
  return (
    isAttentionTrained(a) ||
    [m.up, m.down, ...(m.gate ? [m.gate] : [])].some(isLinearTrained) ||
    [m.norm_in, m.norm_out, after_attention, after_mlp].some(isNormTrained)
  );
}

/**
 * What a layer's forward pass leaves for the backward pass: nothing, its input alone, from which
 * that computes the rest again, or all.
 */
export type SavePolicy = 'nothing' | 'input' | 'all';
export type SavedLayer =
  | { readonly keep: 'nothing' }
  | { readonly keep: 'input'; readonly x: Tensor }
  | { readonly keep: 'all'; readonly saved: LayerSaved };

/** x [n, d] -> y [m, d]; takes x over: it is kept, or freed where nothing is to be kept. */
export function layerForward(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  pass: PassContext,
  rows: SelectedRows | null,
  keep: SavePolicy,
): { y: Tensor; kept: SavedLayer } {
  const { y, saved } = layerWhole(ops, w, x, pass, rows, keep === 'all');
  if (keep === 'all') return { y, kept: { keep, saved } };
  freeLayer(ops, saved, keep === 'input' ? 'input' : 'nothing');
  return { y, kept: keep === 'input' ? { keep, x } : { keep } };
}

/** Frees what a layer left. */
export function freeSavedLayer(ops: Ops, kept: SavedLayer): void {
  if (kept.keep === 'input') ops.free(kept.x);
  if (kept.keep === 'all') freeLayer(ops, kept.saved);
}

function layerWhole(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  pass: PassContext,
  rows: SelectedRows | null,
  keep: boolean,
): { y: Tensor; saved: LayerSaved } {
  const attention = attentionForward(ops, w.attention, x, pass, rows, keep);
  const first = normed(ops, w.after_attention, attention.y);
  const x1 = w.residual === 'sequential' ? first.y : rows ? ops.gather(x, rows.indices) : x;
  const mlp = mlpForward(ops, w.mlp, x1, first.y, pass.dropout);
  if (w.residual === 'parallel') ops.free(first.y);
  const second = normed(ops, w.after_mlp, mlp.y);
  return {
    y: second.y,
    saved: {
      x,
      x1,
      rows,
      attention: attention.saved,
      mlp: mlp.saved,
      sums: { attention: first.sum, mlp: second.sum },
    },
  };
}

/** Takes x over. */
function normed(
  ops: Ops,
  norm: Norm | null,
  x: Tensor,
): { readonly y: Tensor; readonly sum: Sum | null } {
  if (!norm) return { y: x, sum: null };
  const { h, stats } = normForward(ops, norm, x);
  return { y: h, sum: { x, stats } };
}

function freeLayer(
  ops: Ops,
  { x, x1, attention, mlp, sums }: LayerSaved,
  spare: 'nothing' | 'input' | 'keys' = 'nothing',
): void {
  freeAttention(ops, attention, spare !== 'keys');
  freeMlp(ops, mlp);
  for (const sum of [sums.attention, sums.mlp])
    if (sum) ops.free(sum.x, ...statsTensors(sum.stats));
  ops.free(...(spare === 'input' ? [] : [x]), ...(x1 === x ? [] : [x1]));
}

/** Like `layerForward` for a whole prompt, keeping its keys and values. */
export function layerPrefill(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  pass: PassContext,
  rows: SelectedRows | null,
): { y: Tensor; cache: AttentionCache } {
  const { y, saved } = layerWhole(ops, w, x, pass, rows, true);
  const { k, v } = saved.attention.heads;
  freeLayer(ops, saved, 'keys');
  return { y, cache: { k, v } };
}

/** One more token: x [1, d] -> y [1, d]; takes x and the cache over, returns the longer cache. */
export function layerStep(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  cache: AttentionCache,
  shape: AttentionShape,
  turn: RotaryTable,
  window: number | null,
): { y: Tensor; cache: AttentionCache } {
  const attention = attentionStep(ops, w.attention, x, cache, shape, turn, window);
  const first = normed(ops, w.after_attention, attention.y);
  const { y, saved } = mlpForward(
    ops,
    w.mlp,
    w.residual === 'sequential' ? first.y : x,
    first.y,
    null,
  );
  const second = normed(ops, w.after_mlp, y);
  freeMlp(ops, saved);
  for (const { sum } of [first, second]) if (sum) ops.free(sum.x, ...statsTensors(sum.stats));
  ops.free(x, first.y);
  return { y: second.y, cache: attention.cache };
}

/**
 * dy [m, d] -> dx [n, d], or null where nothing below needs it. Takes dy and what was kept over.
 */
export async function layerBackward(
  ops: Ops,
  w: LayerWeights,
  dy: Tensor,
  kept: SavedLayer,
  pass: PassContext,
  rows: SelectedRows | null,
  wanted: boolean,
): Promise<Tensor | null> {
  if (kept.keep === 'nothing') throw new Error('Nothing was kept for the backward pass.');
  const saved = kept.keep === 'all' ? kept.saved : again(ops, w, kept.x, pass, rows);
  const { x, x1, sums } = saved;
  const dSum =
    w.after_mlp && sums.mlp
      ? thenFree(
          ops,
          await normBackward(ops, w.after_mlp, sums.mlp.x, sums.mlp.stats, dy, null),
          dy,
        )
      : dy;
  const dx =
    w.residual === 'sequential'
      ? await sequentialBackward(ops, w, x, x1, dSum, saved, pass, wanted)
      : await parallelBackward(ops, w, x, x1, dSum, saved, pass, wanted, rows);
  freeLayer(ops, saved);
  return dx;
}

function again(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  pass: PassContext,
  rows: SelectedRows | null,
): LayerSaved {
  const { y, saved } = layerWhole(ops, w, x, pass, rows, true);
  ops.free(y);
  return saved;
}

async function sequentialBackward(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  x1: Tensor,
  dy: Tensor,
  saved: LayerSaved,
  pass: PassContext,
  wanted: boolean,
): Promise<Tensor | null> {
  const { attention: a, after_attention } = w;
  const wantedBelow = wanted || isAttentionTrained(a) || isNormTrained(after_attention);
  const dx1 = await mlpBackward(ops, w.mlp, x1, dy, saved.mlp, pass.dropout, wantedBelow, dy);
  ops.free(dy);
  if (!dx1) return null;
  const { attention: sum } = saved.sums;
  const dSum =
    after_attention && sum
      ? thenFree(ops, await normBackward(ops, after_attention, sum.x, sum.stats, dx1, null), dx1)
      : dx1;
  const residual = scatterRows(ops, dSum, saved.rows);
  const dx = await attentionBackward(
    ops,
    a,
    x,
    dSum,
    saved.attention,
    pass,
    saved.rows,
    wanted,
    residual,
  );
  if (residual !== dSum) ops.free(residual);
  ops.free(dSum);
  return dx;
}

async function parallelBackward(
  ops: Ops,
  w: LayerWeights,
  x: Tensor,
  x1: Tensor,
  dy: Tensor,
  saved: LayerSaved,
  pass: PassContext,
  wanted: boolean,
  rows: SelectedRows | null,
): Promise<Tensor | null> {
  const dx1 = await mlpBackward(ops, w.mlp, x1, dy, saved.mlp, pass.dropout, wanted, dy);
  const residual = dx1 && scatterRows(ops, dx1, rows);
  if (dx1 && residual !== dx1) ops.free(dx1);
  const dx = await attentionBackward(
    ops,
    w.attention,
    x,
    dy,
    saved.attention,
    pass,
    rows,
    wanted,
    residual,
  );
  ops.free(dy, ...(residual ? [residual] : []));
  return dx;
}
