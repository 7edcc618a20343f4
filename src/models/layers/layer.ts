import {
  attentionBackward,
  attentionForward,
  attentionStep,
  freeAttention,
  isAttentionTrained,
  scatterRows,
  type AttentionCache,
  type AttentionSaved,
  type DecodeStep,
} from '../attention/attentionBranch';
import type { PassContext, SelectedRows } from '../attention/passContext';
import type { Ops, Tensor } from '../ops/ops';
import {
  feedForward,
  feedForwardBackward,
  freeFeedForward,
  isFeedForwardTrained,
  type FeedForwardSaved,
} from './feedForward';
import { fusedStep } from './fusedStep';
import type { LayerWeights } from './layerWeights';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from './norm';

/**
 * What the backward pass needs of the forward pass, which owns it. m = n, except in the last layer,
 * where it is the number of selected rows.
 */
export interface LayerSaved {
  readonly x: Tensor; // [n, d]
  /** What the MLP reads. */
  readonly x1: Tensor; // [m, d]
  readonly attention: AttentionSaved;
  readonly mlp: FeedForwardSaved;
  /** Of after_attention and after_mlp. */
  readonly norms: readonly [attention: NormSaved | null, mlp: NormSaved | null];
}

export function isLayerTrained(w: LayerWeights): boolean {
  return (
    isAttentionTrained(w.attention) ||
    isFeedForwardTrained(w.mlp) ||
    isNormTrained(w.after_attention) ||
    isNormTrained(w.after_mlp)
  );
}

/**
 * What a layer's forward pass keeps for the backward pass: nothing, its input, from which the
 * backward pass recomputes the rest (gradient checkpointing, Chen et al. 2016), or everything.
 */
export type SavePolicy = 'nothing' | 'input' | 'all';
export type SavedLayer =
  | { readonly keep: 'nothing' }
  | { readonly keep: 'input'; readonly x: Tensor }
  | { readonly keep: 'all'; readonly saved: LayerSaved };

/** x [n, d] -> y [m, d]. Takes ownership of x: it is part of what is saved, or freed. */
export async function layerForward(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
  { rows, keep }: { readonly rows: SelectedRows | null; readonly keep: SavePolicy },
): Promise<{ readonly y: Tensor; readonly kept: SavedLayer }> {
  const { y, saved } = await computeLayer(pass, w, x, { rows, keep: keep === 'all' });
  switch (keep) {
    case 'all':
      return { y, kept: { keep, saved } };
    case 'input':
      freeLayer(pass.ops, saved, 'input');
      return { y, kept: { keep, x } };
    case 'nothing':
      freeLayer(pass.ops, saved);
      return { y, kept: { keep } };
  }
}

/** Frees what a layer saved, if no backward pass did. */
export function freeSavedLayer(ops: Ops, kept: SavedLayer): void {
  if (kept.keep === 'input') ops.free(kept.x);
  if (kept.keep === 'all') freeLayer(ops, kept.saved);
}

async function computeLayer(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
  { rows, keep }: { readonly rows: SelectedRows | null; readonly keep: boolean },
): Promise<{ readonly y: Tensor; readonly saved: LayerSaved }> {
  const { ops } = pass;
  const attention = attentionForward(pass, w.attention, x, { rows, keep });
  const first = applyNorm(ops, w.after_attention, attention.y);
  const x1 = w.residual === 'sequential' ? first.y : selectRows(ops, x, rows);
  const mlp = await feedForward(pass, w.mlp, x1, first.y);
  if (w.residual === 'parallel') ops.free(first.y);
  const second = applyNorm(ops, w.after_mlp, mlp.y);
  const norms = [first.norm, second.norm] as const;
  return { y: second.y, saved: { x, x1, attention: attention.saved, mlp: mlp.saved, norms } };
}

/** The selected rows of x [n, d] -> [m, d]; x itself if all are. */
const selectRows = (ops: Ops, x: Tensor, rows: SelectedRows | null): Tensor =>
  rows ? ops.gather(x, rows.indices) : x;

/** Takes ownership of x: it is part of what is saved, or returned as it is. */
function applyNorm(
  ops: Ops,
  norm: Norm | null,
  x: Tensor,
): { readonly y: Tensor; readonly norm: NormSaved | null } {
  if (!norm) return { y: x, norm: null };
  const { h, stats } = normForward(ops, norm, x);
  return { y: h, norm: { x, stats } };
}

function freeNorms(ops: Ops, norms: readonly (NormSaved | null)[]): void {
  for (const norm of norms) {
    if (norm) ops.free(norm.x, ...statsTensors(norm.stats));
  }
}

/** Frees what was saved, except for the layer's input, or the keys and values. */
function freeLayer(
  ops: Ops,
  { x, x1, attention, mlp, norms }: LayerSaved,
  except: 'nothing' | 'input' | 'keys' = 'nothing',
): void {
  freeAttention(ops, attention, except !== 'keys');
  freeFeedForward(ops, mlp);
  freeNorms(ops, norms);
  ops.free(...(except === 'input' ? [] : [x]), ...(x1 === x ? [] : [x1]));
}

/** `layerForward` for the first tokens of a prompt, which keeps their keys and values. Frees x. */
export async function layerPrefill(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
): Promise<{ readonly y: Tensor; readonly cache: AttentionCache }> {
  const { y, saved } = await computeLayer(pass, w, x, { rows: null, keep: true });
  const { k, v } = saved.attention.heads;
  freeLayer(pass.ops, saved, 'keys');
  return { y, cache: { k, v } };
}

/** More tokens: x [m, d] -> y [m, d]. Frees x, and replaces each cache by the longer one. */
export async function layerStep(
  step: DecodeStep,
  w: LayerWeights,
  x: Tensor,
  caches: AttentionCache[],
): Promise<Tensor> {
  const { ops } = step;
  const fused = fusedStep(step, w, x, caches);
  if (fused) return fused;
  const first = applyNorm(ops, w.after_attention, attentionStep(step, w.attention, x, caches));
  const x1 = w.residual === 'sequential' ? first.y : x;
  const computation = { ops, dropout: null, generates: true };
  const { y, saved } = await feedForward(computation, w.mlp, x1, first.y);
  const second = applyNorm(ops, w.after_mlp, y);
  freeFeedForward(ops, saved);
  freeNorms(ops, [first.norm, second.norm]);
  ops.free(x, first.y);
  return second.y;
}

/** What a layer's backward pass starts from. */
export interface LayerGradient {
  readonly dy: Tensor; // [m, d]
  /** The rows of the forward pass. */
  readonly rows: SelectedRows | null;
  /** Whether anything below the layer needs the gradient of its input. */
  readonly wantsInput: boolean;
}

/**
 * dy [m, d] -> dx [n, d], or null unless `wantsInput`. Accumulates the gradients of what trains.
 * Frees dy and what was saved.
 */
export async function layerBackward(
  pass: PassContext,
  w: LayerWeights,
  kept: SavedLayer,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  if (kept.keep === 'nothing') throw new Error('Nothing was kept for the backward pass.');
  const { ops } = pass;
  const saved = kept.keep === 'all' ? kept.saved : await recomputeLayer(pass, w, kept.x, rows);
  const [, afterMlp] = saved.norms;
  const dSum =
    w.after_mlp && afterMlp ? await normBackwardAndFree(ops, w.after_mlp, afterMlp, dy) : dy;
  const dx =
    w.residual === 'sequential'
      ? await sequentialBackward(pass, w, saved, { dy: dSum, rows, wantsInput })
      : await parallelBackward(pass, w, saved, { dy: dSum, rows, wantsInput });
  freeLayer(ops, saved);
  return dx;
}

async function recomputeLayer(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
  rows: SelectedRows | null,
): Promise<LayerSaved> {
  const { y, saved } = await computeLayer(pass, w, x, { rows, keep: true });
  pass.ops.free(y);
  return saved;
}

/** Frees dy. */
async function sequentialBackward(
  pass: PassContext,
  w: LayerWeights,
  saved: LayerSaved,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const { attention, after_attention } = w;
  const wantsX1 = wantsInput || isAttentionTrained(attention) || isNormTrained(after_attention);
  const mlpGradient = { dy, residual: dy, wantsInput: wantsX1 };
  const dx1 = await feedForwardBackward(pass, saved.mlp, mlpGradient);
  ops.free(dy);
  if (!dx1) return null;
  const [afterAttention] = saved.norms;
  const dSum =
    after_attention && afterAttention
      ? await normBackwardAndFree(ops, after_attention, afterAttention, dx1)
      : dx1;
  const residual = scatterRows(ops, dSum, rows);
  const gradient = { dy: dSum, residual, wantsInput };
  const dx = await attentionBackward(pass, attention, saved.attention, gradient);
  if (residual !== dSum) ops.free(residual);
  ops.free(dSum);
  return dx;
}

/** Frees dy. */
async function parallelBackward(
  pass: PassContext,
  w: LayerWeights,
  saved: LayerSaved,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dx1 = await feedForwardBackward(pass, saved.mlp, { dy, residual: dy, wantsInput });
  const residual = dx1 && scatterRows(ops, dx1, rows);
  if (dx1 && residual !== dx1) ops.free(dx1);
  const gradient = { dy, residual, wantsInput };
  const dx = await attentionBackward(pass, w.attention, saved.attention, gradient);
  ops.free(dy, ...(residual ? [residual] : []));
  return dx;
}
