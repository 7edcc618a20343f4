import type { Products } from '../../shared/products';
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
  addBranch,
  branchOutputGradient,
  isPlainOutput,
  type BranchOutput,
} from '../layers/branchOutput';
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
import {
  attend,
  attendBackward,
  fromHeads,
  fromQueries,
  rotateBeforeNorm,
  toHeads,
  toQueries,
  type AttentionPass,
  type HeadsPass,
  type RotaryTable,
  type SeenKeys,
} from './attention';
import type { Chunks } from './chunks';
import { gateBackward, gated, splitGate } from './gate';
import {
  convolutionBackward,
  convolutionForward,
  convolutionStep,
  gatesOf,
  isConvolutionTrained,
  type Convolution,
} from './convolution';
import {
  distancesBackward,
  distancesTensors,
  projectDistances,
  type DistancesSaved,
  type DistanceWeights,
} from './distances';
import type { HeadLayout, SequenceShape } from './headLayout';
import type { PassContext, SelectedRows } from './passContext';
import { qkNormBackward, qkNormForward, type QkNorm } from './qkNorm';

/** y = residual + scale_out · norm_out(attention(norm_in(x)) Wᵀ) */
export interface AttentionWeights extends BranchOutput {
  readonly kind: 'attention';
  readonly norm_in: Norm | null;
  /** q, k and v as one product; the two numbers of a rotary pair of q and k are neighbours. */
  readonly qkv: Linear;
  readonly qk_norm: QkNorm | null;
  readonly distances: DistanceWeights | null;
  /** In the place of attention; null: none. */
  readonly convolution: Convolution | null;
  readonly o: Linear;
  readonly heads: HeadLayout;
  /** The layer whose keys and values it uses; null: its own. Then `qkv` is q alone. */
  readonly keysOf: number | null;
  /** Its own number, if layers above use its keys and values; else null. */
  readonly lendsKeysAs: number | null;
  /** Whether the product ends with a gate of the output (`AttentionSpec.gated`). */
  readonly gated: boolean;
  readonly softcap: number | null;
  /** See `AttentionSpec`. */
  readonly sinks: Tensor | null; // [heads]
  /** Key of `PassContext.seen`. */
  readonly windowKey: string;
  /** Key of `PassContext.ropeTables`. */
  readonly ropeKey: string;
}

/** What the backward pass needs of the forward pass. */
export interface AttentionSaved {
  /** The branch's input, which the layer owns. */
  readonly x: Tensor; // [n, d]
  /** The pass owns them. */
  readonly rows: SelectedRows | null;
  readonly stats_in: NormStats | null;
  readonly qkv: LinearSaved;
  /** What the norms of q and k read, if there are any. */
  readonly raw: Tensor | null; // [n, (heads + 2 kv_heads) · head_dim]
  readonly heads: Heads;
  readonly gate: Tensor | null; // [n, heads · head_dim]
  readonly distances: DistancesSaved | null;
  /** Before the gate. */
  readonly o: Tensor; // [n, heads · head_dim]
  /** See `AttentionOutput`. */
  readonly kept: readonly Tensor[] | null;
  readonly out: LinearSaved;
  /** Of norm_out. */
  readonly branch: NormSaved | null;
}

/** What a residual branch's backward pass starts from. */
export interface BranchGradient {
  readonly dy: Tensor; // [m, d]
  /** Added to the gradient of the branch's input. */
  readonly residual: Tensor | null; // [n, d]
  /** Whether anything below the branch needs the gradient of its input. */
  readonly wantsInput: boolean;
}

export const isAttentionTrained = (w: AttentionWeights): boolean =>
  isLinearTrained(w.o) || isNormTrained(w.norm_out) || areHeadsTrained(w);

/** Whether something below the heads trains: their projections or the norms before these. */
const areHeadsTrained = ({
  qkv,
  norm_in,
  qk_norm,
  distances,
  convolution,
}: AttentionWeights): boolean =>
  isLinearTrained(qkv) ||
  (convolution !== null && isConvolutionTrained(convolution)) ||
  isNormTrained(norm_in) ||
  (qk_norm?.trains ?? false) ||
  [distances?.key, distances?.query].some((own) => own && isLinearTrained(own));

function attentionPass(
  pass: PassContext,
  w: AttentionWeights,
  distances: DistancesSaved | null = null,
): AttentionPass {
  return {
    ops: pass.ops,
    shape: { ...pass.shape, ...w.heads },
    rope: pass.ropeTables.get(w.ropeKey)!,
    seen: pass.seen.get(w.windowKey)!,
    softcap: w.softcap,
    sinks: w.sinks,
    ...(distances && { distances }),
  };
}

/** Of one layer's product; no keys and values if they are another layer's. */
interface OwnHeads {
  readonly q: Tensor;
  readonly keys: KeysAndValues | null;
}

type ProjectedHeads = OwnHeads & Pick<AttentionSaved, 'gate' | 'qkv' | 'stats_in' | 'raw'>;

/** Queries, keys and values of x [n, d], which is not freed. */
function projectHeads(
  attention: HeadsPass,
  computation: Computation,
  w: AttentionWeights,
  x: Tensor,
): ProjectedHeads {
  const { ops } = computation;
  const normed = w.norm_in && normForward(ops, w.norm_in, x, inputPrecision(ops, w.qkv, x));
  const { y: whole, saved: qkv } = linearForward(computation, w.qkv, normed?.h ?? x);
  const { y: own, gate } = w.gated
    ? splitGate(ops, attention.shape, whole)
    : { y: whole, gate: null };
  const y = rotateBeforeNorm(ops, own, attention.rope, 'forward');
  const product = w.qk_norm ? qkNormForward(ops, w.qk_norm, y) : y;
  if (normed) ops.free(normed.h);
  const heads = headsOf(attention, w, product);
  if (!w.convolution) ops.free(product);
  return { ...heads, gate, qkv, stats_in: normed?.stats ?? null, raw: w.qk_norm ? y : null };
}

/** Cuts a product into heads. Frees it only if it is that of a convolution. */
function headsOf(attention: HeadsPass, w: AttentionWeights, product: Tensor): OwnHeads {
  const dtype = weightPrecision(w.qkv);
  if (w.keysOf !== null) return { q: toQueries(attention, product, dtype), keys: null };
  const { q, k, v } = w.convolution
    ? gatesOf(attention, product)
    : toHeads(attention, product, dtype);
  return { q, keys: { k, v } };
}

/** The keys and values that a layer uses; those that others use, too, are kept for them. */
function keysInPass(
  { sharedKeys }: PassContext,
  { keysOf, lendsKeysAs }: AttentionWeights,
  own: KeysAndValues | null,
): KeysAndValues {
  if (own && lendsKeysAs !== null) sharedKeys.store(lendsKeysAs, own);
  return own ?? sharedKeys.of(keysOf!);
}

/** residual + scale_out · norm_out(o Wᵀ); frees neither. */
export function projectOutput(
  computation: Computation,
  w: BranchOutput & Pick<AttentionWeights, 'o'>,
  o: Tensor,
  residual: Tensor,
): Pick<AttentionSaved, 'out' | 'branch'> & { readonly y: Tensor } {
  const { ops } = computation;
  if (isPlainOutput(w)) {
    const { y, saved: out } = linearForward(computation, w.o, o, { residual });
    return { y, out, branch: null };
  }
  const { y: x, saved: out } = linearForward(computation, w.o, o);
  return { out, ...addBranch(ops, w, x, residual) };
}

/**
 * residual + attention(x): x [n, d] -> y [m, d] of the selected rows, or of all. x is not freed;
 * the caller frees y and, by `freeAttention`, what was saved.
 */
export function attentionForward(
  pass: PassContext,
  w: AttentionWeights,
  x: Tensor,
  { rows, keep }: { readonly rows: SelectedRows | null; readonly keep: boolean },
): { readonly y: Tensor; readonly saved: AttentionSaved } {
  const { ops } = pass;
  const attention = attentionPass(pass, w);
  const { q, keys, ...projected } = projectHeads(attention, pass, w, x);
  const heads = { q, ...keysInPass(pass, w, keys) };
  const distances = w.distances && projectDistances(pass, w.distances, w.qkv, attention.shape);
  const withDistances = { ...attention, ...(distances && { distances }) };
  const output = w.convolution
    ? { o: convolutionForward(pass, w.convolution, heads), kept: null }
    : attend(withDistances, heads, keep && pass.keepProbabilities);
  const { gate } = projected;
  const o = gate ? gated(ops, output.o, gate) : output.o;
  const oRows = rows ? ops.gather(o, rows.indices) : o;
  const xRows = rows ? ops.gather(x, rows.indices) : x;
  const { y, out, branch } = projectOutput(pass, w, oRows, xRows);
  if (rows) ops.free(oRows, xRows);
  if (gate) ops.free(o);
  return { y, saved: { x, rows, ...projected, heads, distances, ...output, out, branch } };
}

/**
 * Keys and values of the tokens so far, of one sequence. Of a layer with the delta rule: the last
 * inputs of its convolution, and its state (`DeltaState`).
 */
export interface AttentionCache {
  readonly k: Tensor; // [kv_heads, length, head_dim]
  readonly v: Tensor; // [kv_heads, length, head_dim]
}

/**
 * More tokens of one sequence, or one of each of several, for the layers that share a rotation and
 * a window.
 */
export interface DecodeStep {
  readonly ops: Ops;
  readonly products: Products;
  /** Of all tokens, as if they were one sequence. */
  readonly shape: SequenceShape;
  readonly rope: RotaryTable;
  /** Of layers with a recurrent state; null: there are none. */
  readonly chunks: Chunks | null;
  /** Of each sequence: its queries, and the keys that these see, cached and its own. */
  readonly seen: readonly SeenKeys[];
}

/**
 * m more tokens of one sequence, or the next of each of m: x [m, d] -> residual + attention(x)
 * [m, d]. x is not freed. Replaces the cache of each sequence by the longer one, but uses those of
 * another layer as they are.
 */
export function attentionStep(
  { ops, products, shape, rope, seen }: DecodeStep,
  w: AttentionWeights,
  x: Tensor,
  caches: AttentionCache[],
): Tensor {
  const computation = { ops, dropout: null, products };
  const whole = { ...shape, ...w.heads };
  const attention = { ops, shape: whole, rope, softcap: w.softcap, sinks: w.sinks };
  const { q, keys, gate, qkv, stats_in, raw } = projectHeads(attention, computation, w, x);
  const length = shape.length / caches.length;
  const outputs = splitHeads(ops, { q, keys }, caches.length).map((own, i) => {
    const cache = own.keys ? longerCache(ops, caches[i]!, own.keys) : caches[i]!;
    caches[i] = cache;
    if (w.convolution)
      return thenFree(ops, convolutionStep({ ops }, w.convolution, own, cache), own.q);
    const pass = { ...attention, shape: { ...whole, length }, seen: seen[i]! };
    const { o: out, kept } = attend(pass, { q: own.q, ...cache }, false);
    return thenFree(ops, out, own.q, ...(kept ?? []));
  });
  const attended = concatAndFree(ops, outputs, 0);
  const o = gate ? thenFree(ops, gated(ops, attended, gate), attended, gate) : attended;
  const { y, out, branch } = projectOutput(computation, w, o, x);
  ops.free(o, ...projectionTensors({ stats_in, qkv, raw, out, branch }));
  return y;
}

/** The heads of each of several sequences, and frees those of all. */
function splitHeads(ops: Ops, { q, keys }: OwnHeads, sequences: number): readonly OwnHeads[] {
  const axis = q.shape.length - 2; // of gates, which have no heads, the first
  if (sequences === 1) return [{ q, keys }];
  const sizes = new Array<number>(sequences).fill(1);
  const qs = ops.split(q, sizes, axis); // [1, heads, 1, head_dim]
  const ks = keys && ops.split(keys.k, sizes, 1); // [kv_heads, 1, head_dim]
  const vs = keys && ops.split(keys.v, sizes, 1);
  ops.free(q, ...(keys ? [keys.k, keys.v] : []));
  return qs.map((own, i) => ({ q: own, keys: ks && vs && { k: ks[i]!, v: vs[i]! } }));
}

/** Frees what it is made of, once both are made: after an error the cache is whole or replaced. */
function longerCache(ops: Ops, cache: AttentionCache, { k, v }: AttentionCache): AttentionCache {
  const longer = { k: ops.concat([cache.k, k], 1), v: ops.concat([cache.v, v], 1) };
  ops.free(cache.k, cache.v, k, v);
  return longer;
}

/** What was saved of the projections before and after attention. */
function projectionTensors({
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
    ...(branch ? [branch.x, ...statsTensors(branch.stats)] : []),
  ];
}

/** Frees what was saved, but not x and the rows, and keys and values only if `includeKeys`. */
export function freeAttention(ops: Ops, saved: AttentionSaved, includeKeys = true): void {
  const { heads, gate, o, kept } = saved;
  const keys = includeKeys ? [heads.k, heads.v] : [];
  const ofDistances = saved.distances ? distancesTensors(saved.distances) : [];
  ops.free(heads.q, ...keys, o, ...(gate ? [gate] : []), ...(kept ?? []), ...ofDistances);
  ops.free(...projectionTensors(saved));
}

/**
 * Gradient of x [n, d] plus the residual; null unless `wantsInput`. Accumulates the gradients
 * of the trainable parameters. Frees none of its inputs.
 */
export async function attentionBackward(
  pass: PassContext,
  w: AttentionWeights,
  saved: AttentionSaved,
  gradient: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const wantsHeads = gradient.wantsInput || areHeadsTrained(w);
  const dGated = await outputBackward(pass, w, saved, { dy: gradient.dy, wantsInput: wantsHeads });
  if (!dGated) return null;
  const { dO, dGate } = saved.gate
    ? gateBackward(ops, saved.o, saved.gate, dGated)
    : { dO: dGated, dGate: null };
  if (w.convolution) {
    const d = await convolutionBackward(pass, w.convolution, saved.heads, dO);
    const dProduct = thenFree(ops, d, dO);
    return projectionBackward(pass, w, saved, { ...gradient, dProduct, dGate });
  }
  const attention = attentionPass(pass, w, saved.distances);
  const { dHeads, dDistances } = attendBackward(attention, saved.heads, saved, dO);
  if (w.distances && saved.distances) {
    const { shape } = attention;
    const of = { qkv: w.qkv, shape, saved: saved.distances };
    await distancesBackward(pass, w.distances, of, dDistances);
  }
  const dProduct = thenFree(ops, headsBackward(attention, pass, w, dHeads), dO);
  return projectionBackward(pass, w, saved, { ...gradient, dProduct, dGate });
}

/** The gradient of a layer's product, with those of others that use its keys. Frees dHeads. */
function headsBackward(
  attention: AttentionPass,
  { sharedKeys }: PassContext,
  w: AttentionWeights,
  dHeads: Heads,
): Tensor {
  const { q, ...keys } = dHeads;
  if (w.keysOf !== null) {
    sharedKeys.addGradient(w.keysOf, keys);
    return fromQueries(attention, q);
  }
  const dtype = needsInput(w.qkv) || w.qk_norm ? 'f32' : weightPrecision(w.qkv);
  const whole = w.lendsKeysAs === null ? keys : sharedKeys.wholeGradient(w.lendsKeysAs, keys);
  return fromHeads(attention, { q, ...whole }, dtype);
}

/** The output projection and its norm: dO [n, heads · head_dim], or null unless `wantsInput`. */
async function outputBackward(
  pass: PassContext,
  w: AttentionWeights,
  { o: attended, gate, out, rows, branch, heads }: AttentionSaved,
  { dy, wantsInput }: Pick<BranchGradient, 'dy' | 'wantsInput'>,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dBranch = await branchOutputGradient(ops, w, branch, dy);
  const o = gate && needsInput(w.o) ? gated(ops, attended, gate) : attended;
  const oRows = rows && needsInput(w.o) ? ops.gather(o, rows.indices) : o;
  const dtype = heads.v.dtype as Precision;
  const dOut = { dy: dBranch, x: oRows, saved: out, dtype };
  const terms = await linearBackward(pass, w.o, dOut, wantsInput);
  if (oRows !== o) ops.free(oRows);
  if (o !== attended) ops.free(o);
  if (dBranch !== dy) ops.free(dBranch);
  if (!wantsInput) return null;
  const dRows = sumAndFree(ops, terms, null, dtype);
  const dO = scatterRows(ops, dRows, rows);
  if (dO !== dRows) ops.free(dRows);
  return dO;
}

interface ProductGradient extends Omit<BranchGradient, 'dy'> {
  readonly dProduct: Tensor; // [n, (heads + 2 kv_heads) · head_dim]
  readonly dGate: Tensor | null; // [n, heads · head_dim]
}

/**
 * The projections of q, k and v and the norms around them: the gradient of x plus the residual, or
 * null unless `wantsInput`. Frees dProduct and dGate.
 */
async function projectionBackward(
  pass: PassContext,
  w: AttentionWeights,
  { x, raw, qkv, stats_in }: AttentionSaved,
  { dProduct, dGate, residual, wantsInput }: ProductGradient,
): Promise<Tensor | null> {
  const { ops } = pass;
  const dRaw = w.qk_norm && raw ? await qkNormBackward(ops, w.qk_norm, raw, dProduct) : dProduct;
  const dHeads = rotateBeforeNorm(ops, dRaw, pass.ropeTables.get(w.ropeKey)!, 'backward');
  const dy = dGate ? concatAndFree(ops, [castAndFree(ops, dHeads, 'f32'), dGate], 1) : dHeads;
  const h = projectionInput(ops, w, x, stats_in);
  const wantsH = wantsInput || isNormTrained(w.norm_in);
  const terms = await linearBackward(pass, w.qkv, { dy, x: h, saved: qkv }, wantsH);
  ops.free(dy);
  if (h && h !== x) ops.free(h);
  if (!wantsH) return null;
  const dh = sumAndFree(ops, terms);
  const dx = await branchInputGradient(ops, w.norm_in, { x, stats: stats_in }, { dh, residual });
  if (wantsInput) return dx;
  ops.free(dx);
  return null;
}

/** What the projections read, if their gradients need it: x itself, or its norm, computed again. */
function projectionInput(
  ops: Ops,
  w: AttentionWeights,
  x: Tensor,
  stats: NormStats | null,
): Tensor | null {
  if (!needsInput(w.qkv)) return null;
  if (!w.norm_in || !stats) return x;
  return recomputeNorm(ops, w.norm_in, { x, stats }, inputPrecision(ops, w.qkv, x));
}

/** [m, d] -> [n, d] with zeros in the rows that were not selected; x itself if all were. */
export function scatterRows(ops: Ops, x: Tensor, rows: SelectedRows | null): Tensor {
  if (!rows) return x;
  const padded = ops.pad(x, 0, 0, 1);
  return thenFree(ops, ops.gather(padded, rows.inverse), padded);
}
