import { scatterRows, type AttentionCache, type DecodeStep } from '../attention/attentionBranch';
import {
  crossBackward,
  crossForward,
  crossStep,
  freeCross,
  isCrossTrained,
  type CrossSaved,
} from '../attention/crossAttention';
import type { PassContext, SelectedRows } from '../attention/passContext';
import { thenFree, type Ops, type Tensor } from '../ops/ops';
import {
  freeFused,
  fusedBackward,
  fusedForward,
  fusedLayer,
  type FusedLayer,
  type FusedSaved,
} from './fusedLayer';
import {
  feedForward,
  feedForwardBackward,
  freeFeedForward,
  isFeedForwardTrained,
  type FeedForwardSaved,
} from './feedForward';
import type { LayerWeights } from './layerWeights';
import type { Computation } from './linear';
import {
  cacheOf,
  freeMixer,
  isMixerTrained,
  mixerBackward,
  mixerForward,
  mixerStep,
  type MixerSaved,
} from './mixing';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from './norm';
import {
  freePerLayer,
  isPerLayerTrained,
  perLayerBackward,
  perLayerForward,
  type PerLayerSaved,
} from './perLayerBranch';

/**
 * What the backward pass needs of the forward pass, which owns it. m = n, except in the last layer,
 * where it is the number of selected rows.
 */
export interface LayerSaved {
  readonly x: Tensor; // [n, d]
  /** What the MLP reads. */
  readonly x1: Tensor; // [m, d]
  readonly attention: MixerSaved;
  readonly cross: CrossSaved | null;
  readonly mlp: FeedForwardSaved;
  /** Of after_attention and after_mlp. */
  readonly norms: readonly [attention: NormSaved | null, mlp: NormSaved | null];
  readonly perLayer: PerLayerSaved | null;
}

export const isLayerTrained = (w: LayerWeights): boolean =>
  isPerLayerTrained(w.perLayer) || areBranchesTrained(w);

/** Whether something below the third branch trains. */
const areBranchesTrained = (w: LayerWeights): boolean =>
  isMixerTrained(w.attention) ||
  (w.cross !== null && isCrossTrained(w.cross)) ||
  isFeedForwardTrained(w.mlp) ||
  isNormTrained(w.after_attention) ||
  isNormTrained(w.after_mlp);

/**
 * What a layer's forward pass keeps for the backward pass: nothing, its input, from which the
 * backward pass recomputes the rest (gradient checkpointing, Chen et al. 2016), or everything.
 */
export type SavePolicy = 'nothing' | 'input' | 'all';
export type SavedLayer =
  | { readonly keep: 'nothing' }
  | { readonly keep: 'input'; readonly x: Tensor }
  | { readonly keep: 'all'; readonly saved: LayerSaved }
  | { readonly keep: 'fused'; readonly saved: FusedSaved };

export interface ForwardPolicy {
  readonly rows: SelectedRows | null;
  readonly keep: SavePolicy;
}

/** x [n, d] -> y [m, d]. Takes ownership of x: it is part of what is saved, or freed. */
export async function layerForward(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
  { rows, keep }: ForwardPolicy,
): Promise<{ readonly y: Tensor; readonly kept: SavedLayer }> {
  const layer = fusedLayer(pass, w, x, rows);
  if (layer) return fusedLayerForward(pass.ops, layer, x, keep);
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

/** `layerForward` in one operation. */
function fusedLayerForward(
  ops: Ops,
  layer: FusedLayer,
  x: Tensor,
  keep: SavePolicy,
): { readonly y: Tensor; readonly kept: SavedLayer } {
  const { y, saved } = fusedForward([layer], x)[0]!;
  if (keep === 'all') return { y, kept: { keep: 'fused', saved } };
  freeFused(ops, saved, keep === 'nothing');
  return { y, kept: keep === 'input' ? { keep, x } : { keep } };
}

/** Frees what a layer saved, if no backward pass did. */
export function freeSavedLayer(ops: Ops, kept: SavedLayer): void {
  if (kept.keep === 'fused') freeFused(ops, kept.saved);
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
  const attention = mixerForward(pass, w.attention, x, { rows: ownRows(w, rows), keep });
  const first = applyNorm(ops, w.after_attention, attention.y);
  const cross = w.cross && crossForward(pass, w.cross, first.y, rows);
  const read = cross?.y ?? first.y;
  const x1 = w.residual === 'sequential' ? read : selectRows(ops, x, rows);
  const mlp = await feedForward(pass, w.mlp, x1, read);
  if (w.residual === 'parallel') ops.free(read);
  const second = applyNorm(ops, w.after_mlp, mlp.y);
  const norms = [first.norm, second.norm] as const;
  const third = applyPerLayer(pass, w, second.y, vectorsOf(pass, w, rows));
  const branches = {
    attention: attention.saved,
    cross: cross && cross.saved,
    mlp: mlp.saved,
    perLayer: third.saved,
  };
  return { y: third.y, saved: { x, x1, ...branches, norms } };
}

/** The rows that leave attention: all if attention to an encoder's output selects them. */
const ownRows = ({ cross }: LayerWeights, rows: SelectedRows | null): SelectedRows | null =>
  cross ? null : rows;

/** A layer's vectors of the selected rows [m, width], to be freed; null: it has none. */
function vectorsOf(
  { ops, perLayer }: PassContext,
  { perLayer: branch }: LayerWeights,
  rows: SelectedRows | null,
): Tensor | null {
  if (!branch || !perLayer) return null;
  const all = perLayer.inputs[branch.layer]!;
  return rows ? ops.gather(all, rows.indices) : ops.reshape(all, all.shape);
}

/** The third branch, and the factor of the output. Takes ownership of x and v. */
function applyPerLayer(
  computation: Computation,
  { perLayer, outputFactor }: LayerWeights,
  x: Tensor,
  v: Tensor | null,
): { readonly y: Tensor; readonly saved: PerLayerSaved | null } {
  const { ops } = computation;
  const { y, saved } =
    perLayer && v ? perLayerForward(computation, perLayer, x, v) : { y: x, saved: null };
  return { y: outputFactor === 1 ? y : thenFree(ops, ops.scale(y, outputFactor), y), saved };
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
  { x, x1, attention, cross, mlp, norms, perLayer }: LayerSaved,
  except: 'nothing' | 'input' | 'keys' = 'nothing',
): void {
  freeMixer(ops, attention, except !== 'keys');
  if (cross) freeCross(ops, cross, except !== 'keys');
  freeFeedForward(ops, mlp);
  freeNorms(ops, norms);
  if (perLayer) freePerLayer(ops, perLayer);
  ops.free(...(except === 'input' ? [] : [x]), ...(x1 === x ? [] : [x1]));
}

/** Keys and values that later tokens of one sequence need. */
interface PrefillCaches {
  /** Null: they are another layer's. */
  readonly cache: AttentionCache | null;
  /** Of what an encoder has read; null: there is none. */
  readonly source: AttentionCache | null;
}

/**
 * `layerForward` for the first tokens of a prompt, which keeps their keys and values, unless these
 * are another layer's. Frees x.
 */
export async function layerPrefill(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
): Promise<PrefillCaches & { readonly y: Tensor }> {
  const { y, saved } = await computeLayer(pass, w, x, { rows: null, keep: true });
  const cache = cacheOf(saved.attention);
  freeLayer(pass.ops, saved, cache ? 'keys' : 'nothing');
  return { y, cache, source: saved.cross && { k: saved.cross.heads.k, v: saved.cross.heads.v } };
}

/** Of one layer. */
export interface LayerDecodeStep extends DecodeStep {
  /** Its token embeddings; null: it has none. */
  readonly v: Tensor | null; // [m, width]
  /** Of each sequence what an encoder has read; empty without one. */
  readonly sources: readonly AttentionCache[];
}

/**
 * More tokens: x [m, d] -> y [m, d]. Frees x and the layer's vectors v [m, width], and replaces
 * each cache by the longer one.
 */
export async function layerStep(
  { v, sources, ...step }: LayerDecodeStep,
  w: LayerWeights,
  x: Tensor,
  caches: AttentionCache[],
): Promise<Tensor> {
  const { ops } = step;
  const first = applyNorm(ops, w.after_attention, mixerStep(step, w.attention, x, caches));
  const read = w.cross
    ? thenFree(ops, crossStep(step, w.cross, first.y, sources), first.y)
    : first.y;
  const x1 = w.residual === 'sequential' ? read : x;
  const computation = { ops, dropout: null, products: step.products };
  const { y, saved } = await feedForward(computation, w.mlp, x1, read);
  const second = applyNorm(ops, w.after_mlp, y);
  freeFeedForward(ops, saved);
  freeNorms(ops, [first.norm, second.norm]);
  ops.free(x, read);
  const third = applyPerLayer(computation, w, second.y, v);
  if (third.saved) freePerLayer(ops, third.saved);
  return third.y;
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
 * dy [m, d] -> dx [n, d], or null unless `wantsInput`. Accumulates the gradients of the trainable
 * parameters. Frees dy and what was saved.
 */
export async function layerBackward(
  pass: PassContext,
  w: LayerWeights,
  kept: SavedLayer,
  gradient: LayerGradient,
): Promise<Tensor | null> {
  switch (kept.keep) {
    case 'nothing':
      throw new Error('Nothing was kept for the backward pass.');
    case 'fused':
      return fusedBackward(pass.ops, [kept.saved], gradient);
    case 'all':
      return branchesBackward(pass, w, kept.saved, gradient);
    case 'input': {
      const layer = fusedLayer(pass, w, kept.x, gradient.rows);
      if (layer)
        return fusedBackward(pass.ops, [recomputeFused(pass.ops, layer, kept.x)], gradient);
      const saved = await recomputeLayer(pass, w, kept.x, gradient.rows);
      return branchesBackward(pass, w, saved, gradient);
    }
  }
}

/** `layerBackward` by separate operations. */
async function branchesBackward(
  pass: PassContext,
  w: LayerWeights,
  saved: LayerSaved,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dThird = await thirdBackward(pass, w, saved, { dy, rows, wantsInput });
  if (!dThird) {
    freeLayer(ops, saved);
    return null;
  }
  const [, afterMlp] = saved.norms;
  const dSum =
    w.after_mlp && afterMlp
      ? await normBackwardAndFree(ops, w.after_mlp, afterMlp, dThird)
      : dThird;
  const dx =
    w.residual === 'sequential'
      ? await sequentialBackward(pass, w, saved, { dy: dSum, rows, wantsInput })
      : await parallelBackward(pass, saved, { dy: dSum, rows, wantsInput });
  freeLayer(ops, saved);
  return dx;
}

/** The gradient of what the third branch reads; null if nothing needs it. Frees dy. */
async function thirdBackward(
  pass: PassContext,
  w: LayerWeights,
  saved: LayerSaved,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  const { ops, perLayer } = pass;
  const dY = w.outputFactor === 1 ? dy : thenFree(ops, ops.scale(dy, w.outputFactor), dy);
  if (!w.perLayer || !saved.perLayer) return dY;
  const wantsX = wantsInput || areBranchesTrained(w);
  const { dx, dv } = await perLayerBackward(pass, w.perLayer, saved.perLayer, { dy: dY, wantsX });
  const whole = scatterRows(ops, dv, rows);
  if (whole !== dv) ops.free(dv);
  if (perLayer?.gradients) perLayer.gradients[w.perLayer.layer] = whole;
  else ops.free(whole);
  ops.free(dY);
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

function recomputeFused(ops: Ops, layer: FusedLayer, x: Tensor): FusedSaved {
  const { y, saved } = fusedForward([layer], x)[0]!;
  ops.free(y);
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
  const wantsRead = wantsInput || isMixerTrained(attention) || isNormTrained(after_attention);
  const wantsX1 = wantsRead || isCrossWanted(pass, w);
  const mlpGradient = { dy, residual: dy, wantsInput: wantsX1 };
  const dx1 = await feedForwardBackward(pass, saved.mlp, mlpGradient);
  ops.free(dy);
  const dRead = dx1 && (await throughCross(pass, w, saved, { dy: dx1, wantsInput: wantsRead }));
  if (!dRead) return null;
  const [afterAttention] = saved.norms;
  const dSum =
    after_attention && afterAttention
      ? await normBackwardAndFree(ops, after_attention, afterAttention, dRead)
      : dRead;
  const residual = scatterRows(ops, dSum, ownRows(w, rows));
  const gradient = { dy: dSum, residual, wantsInput };
  const dx = await mixerBackward(pass, saved.attention, gradient);
  if (residual !== dSum) ops.free(residual);
  ops.free(dSum);
  return dx;
}

/** Whether attention to an encoder's output, or the encoder itself, needs a gradient. */
const isCrossWanted = ({ source }: PassContext, { cross }: LayerWeights): boolean =>
  cross !== null && (isCrossTrained(cross) || (source?.wantsGradient ?? false));

/** Attention to an encoder's output, if there is one: dy [m, d] -> dx [n, d]. Frees dy. */
async function throughCross(
  pass: PassContext,
  w: LayerWeights,
  { cross }: LayerSaved,
  { dy, wantsInput }: Omit<LayerGradient, 'rows'>,
): Promise<Tensor | null> {
  if (!w.cross || !cross) return dy;
  const { ops } = pass;
  const residual = scatterRows(ops, dy, cross.rows);
  const dx = await crossBackward(pass, w.cross, cross, { dy, residual, wantsInput });
  ops.free(dy, ...(residual === dy ? [] : [residual]));
  return dx;
}

/** Frees dy. */
async function parallelBackward(
  pass: PassContext,
  saved: LayerSaved,
  { dy, rows, wantsInput }: LayerGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dx1 = await feedForwardBackward(pass, saved.mlp, { dy, residual: dy, wantsInput });
  const residual = dx1 && scatterRows(ops, dx1, rows);
  if (dx1 && residual !== dx1) ops.free(dx1);
  const gradient = { dy, residual, wantsInput };
  const dx = await mixerBackward(pass, saved.attention, gradient);
  ops.free(dy, ...(residual ? [residual] : []));
  return dx;
}
