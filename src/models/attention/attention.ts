import { applySoftcap, applySoftcapWithSlope } from '../layers/activation';
import type { Heads } from '../ops/fusedOps';
import {
  castAndFree,
  concatAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import type { AttentionShape } from './headLayout';
import type { RowBlock } from './rowBlocks';
import { addDistanceScores, distanceScoresBackward, type Distances } from './distances';
import { addScoreBias } from './scoreBias';

/**
 * What q and k are multiplied by before their product. rotate: the tables of `buildRotaryTable`,
 * attention's scale included, for both directions. scale: attention's scale alone.
 */
export type RotaryTable =
  | { readonly kind: 'rotate'; readonly forward: Tensor; readonly backward: Tensor }
  | { readonly kind: 'scale'; readonly row: Tensor }
  | RotaryBeforeNorm;

/** The rotation alone, which the norms of q and k follow, and then attention's scale. */
interface RotaryBeforeNorm {
  readonly kind: 'before_norm';
  readonly forward: Tensor;
  readonly backward: Tensor;
  readonly row: Tensor;
}

/** Rotates a product before the norms of q and k, or back, if they follow RoPE. Frees x. */
export const rotateBeforeNorm = (
  ops: Ops,
  x: Tensor,
  rope: RotaryTable,
  direction: 'forward' | 'backward',
): Tensor => (rope.kind === 'before_norm' ? thenFree(ops, ops.rotate(x, rope[direction]), x) : x);

/** One layer's attention over one batch. */
export interface AttentionPass {
  readonly ops: Ops;
  readonly shape: AttentionShape;
  readonly rope: RotaryTable;
  readonly rowBlocks: readonly RowBlock[];
  /** Scores become softcap · tanh(score / softcap); null: they stay as they are. */
  readonly softcap: number | null;
  /** The score of a key without a value, of each head; null: there is none. */
  readonly sinks: Tensor | null; // [heads]
  /** Vectors of distances that take part in the scores. Not given: none. */
  readonly distances?: Distances | undefined;
}

/**
 * Cuts a fused product [n, (heads + 2 kv_heads) · head_dim] into heads of `dtype`, and rotates and
 * scales q and k. Does not free the product.
 */
export function toHeads({ ops, shape, rope }: AttentionPass, qkv: Tensor, dtype: Precision): Heads {
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && rope.kind === 'rotate') {
    return ops.fused.toHeads(qkv, rope.forward, shape, dtype);
  }
  const rotated = castAndFree(ops, rotate(ops, qkv, rope, 'forward'), dtype);
  const rows = [batch, length, num_heads + 2 * num_kv_heads, head_dim];
  const byToken = thenFree(ops, ops.reshape(rotated, rows), rotated);
  // [batch, heads + 2 kv_heads, length, head_dim]
  const byHead = thenFree(ops, ops.transpose(byToken, [0, 2, 1, 3]), byToken);
  const parts = ops.split(byHead, [num_heads, num_kv_heads, num_kv_heads], 1);
  ops.free(byHead);
  const [q, k, v] = parts as [Tensor, Tensor, Tensor];
  const flatten = (x: Tensor) =>
    thenFree(ops, ops.reshape(x, [batch * num_kv_heads, length, head_dim]), x);
  return { q, k: flatten(k), v: flatten(v) };
}

/**
 * The inverse of `toHeads` for gradients: dqkv [n, (heads + 2 kv_heads) · head_dim], in `dtype` or
 * f32. Frees the heads.
 */
export function fromHeads(
  { ops, shape, rope }: AttentionPass,
  heads: Heads,
  dtype: Precision,
): Tensor {
  const { q, k, v } = heads;
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && rope.kind === 'rotate') {
    return thenFree(ops, ops.fused.fromHeads(heads, rope.backward, shape, dtype), q, k, v);
  }
  const unflatten = (x: Tensor, count: number) =>
    thenFree(ops, ops.reshape(x, [batch, count, length, head_dim]), x);
  const parts = [unflatten(q, num_heads), unflatten(k, num_kv_heads), unflatten(v, num_kv_heads)];
  const byHead = concatAndFree(ops, parts, 1);
  const byToken = thenFree(ops, ops.transpose(byHead, [0, 2, 1, 3]), byHead);
  const width = (num_heads + 2 * num_kv_heads) * head_dim;
  const rows = thenFree(ops, ops.reshape(byToken, [batch * length, width]), byToken);
  return thenFree(ops, rotate(ops, rows, rope, 'backward'), rows);
}

/** `toHeads` for a product of queries alone [n, heads · head_dim]. */
export function toQueries(
  { ops, shape, rope }: AttentionPass,
  q: Tensor,
  dtype: Precision,
): Tensor {
  const rotated = castAndFree(ops, rotate(ops, q, rope, 'forward'), dtype);
  return thenFree(ops, headsFromRows(ops, rotated, shape, shape.head_dim), rotated);
}

/** The inverse of `toQueries` for gradients. Frees dq. */
export function fromQueries({ ops, shape, rope }: AttentionPass, dq: Tensor): Tensor {
  const wide = castAndFree(ops, dq, 'f32');
  const rows = thenFree(ops, rowsFromHeads(ops, wide, shape), wide);
  return thenFree(ops, rotate(ops, rows, rope, 'backward'), rows);
}

function rotate(ops: Ops, x: Tensor, rope: RotaryTable, direction: 'forward' | 'backward'): Tensor {
  return rope.kind === 'rotate' ? ops.rotate(x, rope[direction]) : ops.mul(x, rope.row);
}

export interface AttentionOutput {
  readonly o: Tensor; // [n, heads · head_dim]
  /** Of each row block, if they were to be kept. [batch · kv_heads, group · rows, keys] */
  readonly probabilities: readonly Tensor[] | null;
}

/**
 * softmax(q kᵀ + mask) v. The query heads of one kv head are rows of one product. Does not free the
 * heads.
 */
export function attend(
  pass: AttentionPass,
  heads: Heads,
  keepProbabilities: boolean,
): AttentionOutput {
  const { ops, shape, rowBlocks } = pass;
  if (!keepProbabilities && shape.length === 1) {
    const o = attendOneToken(pass, heads);
    if (o) return { o, probabilities: null };
  }
  const kept: Tensor[] = [];
  const outputs = rowBlocks.map((block) => {
    const { q, k, v } = headsOfBlock(pass, heads, block);
    const { p: exact } = attentionProbabilities(pass, block, { q, k });
    const p = castAndFree(ops, thenFree(ops, exact, q, k), v.dtype as Precision);
    const o = thenFree(ops, ops.batchMatMul(p, v), v);
    if (keepProbabilities) kept.push(p);
    else ops.free(p);
    return toQueryShape(pass, o, block);
  });
  const o = concatAndFree(ops, outputs, 2);
  return {
    o: thenFree(ops, rowsFromHeads(ops, o, shape), o),
    probabilities: keepProbabilities ? kept : null,
  };
}

/** One new token per sequence by the fused kernel; null if the kernel cannot compute it. */
function attendOneToken(
  { ops, rowBlocks, softcap, distances, sinks }: AttentionPass,
  heads: Heads,
): Tensor | null {
  const [block] = rowBlocks;
  const isPlain = !distances && !sinks && softcap === null;
  if (!ops.fused || !block || block.mask || block.bias || !isPlain) return null;
  if (block.from === 0 && block.to === heads.k.shape[1])
    return ops.fused.attendOne(heads.q, heads.k, heads.v);
  const k = sliceRange(ops, heads.k, 1, block);
  const v = sliceRange(ops, heads.v, 1, block);
  return thenFree(ops, ops.fused.attendOne(heads.q, k, v), k, v);
}

/**
 * Gradients of the heads for dO [n, heads · head_dim], with D = sum(dO · o) instead of sum(dP · P)
 * (FlashAttention, Dao et al. 2022). Frees none of its inputs.
 */
export function attendBackward(
  pass: AttentionPass,
  heads: Heads,
  { o, probabilities }: AttentionOutput,
  dO: Tensor,
): { readonly dHeads: Heads; readonly dDistances: Distances } {
  const { ops, shape, rowBlocks } = pass;
  const rows = ops.cast(dO, heads.v.dtype as Precision);
  const dHeads = thenFree(ops, headsFromRows(ops, rows, shape, shape.head_dim), rows);
  const D = rowDotProducts(pass, o, dO); // [batch, heads, length, 1]
  const parts = rowBlocks.map((block, i) =>
    blockBackward(pass, block, { heads, dHeads, D }, probabilities?.[i] ?? null),
  );
  ops.free(dHeads, D);
  const total = (of: 'key' | 'query'): Tensor | null => {
    const terms = parts.flatMap(({ distances }) => distances?.[of] ?? []);
    return terms.length > 0 ? sumAndFree(ops, terms) : null;
  };
  const dQs = parts.map((part) => part.q);
  const dKs = parts.map((part) => part.k);
  const dVs = parts.map((part) => part.v);
  const gradients = {
    q: concatAndFree(ops, dQs, 2),
    k: sumOfKeyGradients(pass, dKs),
    v: sumOfKeyGradients(pass, dVs),
  };
  return { dHeads: gradients, dDistances: { key: total('key'), query: total('query') } };
}

type BlockGradient = Heads & { readonly distances: Distances | null };

/** The gradients of one block's queries, and of its keys and values. */
function blockBackward(
  pass: AttentionPass,
  block: RowBlock,
  { heads, dHeads, D }: { readonly heads: Heads; readonly dHeads: Tensor; readonly D: Tensor },
  kept: Tensor | null,
): BlockGradient {
  const { ops, shape, softcap } = pass;
  const { q, k, v } = headsOfBlock(pass, heads, block);
  const dtype = q.dtype as Precision;
  const dO = queryRows(pass, dHeads, block, shape.head_dim); // [batch · kv, group · rows, head_dim]
  const d = queryRows(pass, D, block, 1);
  const { p: exact, softcapSlope } =
    kept && softcap === null
      ? { p: kept, softcapSlope: null }
      : attentionProbabilities(pass, block, { q, k }, true);
  const p = exact === kept ? kept : castAndFree(ops, exact, dtype);
  const dV = ops.batchMatMul(p, dO, true); // [batch · kv, keys, head_dim]
  const dP = thenFree(ops, ops.batchMatMul(dO, v, false, true), dO, v);
  const dCapped = thenFree(ops, softmaxGradient(ops, p, dP, d), dP, d);
  const dScores = softcapSlope
    ? thenFree(ops, ops.mul(dCapped, softcapSlope), dCapped, softcapSlope)
    : dCapped;
  const dS = castAndFree(ops, dScores, dtype);
  if (p !== kept) ops.free(p);
  const dK = ops.batchMatMul(dS, q, true);
  const dQ = ops.batchMatMul(dS, k);
  const extra =
    pass.distances &&
    distanceScoresBackward(ops, pass.distances, { q, k, block, batch: shape.batch }, dS);
  ops.free(dS, q, k);
  const sum = (d: Tensor, more: Tensor | null | undefined) =>
    more ? castAndFree(ops, sumAndFree(ops, [d, more]), dtype) : d;
  return {
    q: toQueryShape(pass, sum(dQ, extra?.dq), block),
    k: sum(dK, extra?.dk),
    v: dV,
    distances: extra?.d ?? null,
  };
}

/** p · (dP - d) */
function softmaxGradient(ops: Ops, p: Tensor, dP: Tensor, d: Tensor): Tensor {
  if (ops.fused) return ops.fused.softmaxGrad(p, dP, d);
  const centred = ops.sub(dP, d);
  return thenFree(ops, ops.mul(p, centred), centred);
}

/** softmax over the keys, and on demand the slope of the softcap at each score. */
function attentionProbabilities(
  pass: AttentionPass,
  block: RowBlock,
  { q, k }: Pick<Heads, 'q' | 'k'>,
  wantsSlope = false,
): { readonly p: Tensor; readonly softcapSlope: Tensor | null } {
  const { ops, softcap } = pass;
  const products = ops.batchMatMul(q, k, false, true);
  const scores = scoresOf(pass, block, products, { q, k });
  if (softcap === null) return { p: maskedSoftmax(pass, scores, block), softcapSlope: null };
  if (!wantsSlope) {
    const capped = applySoftcap(ops, scores, softcap);
    return { p: maskedSoftmax(pass, capped, block), softcapSlope: null };
  }
  const { y: capped, slope } = applySoftcapWithSlope(ops, scores, softcap);
  return { p: maskedSoftmax(pass, capped, block), softcapSlope: slope };
}

/** Products of queries and keys, which are freed, with what else is added before the softcap. */
function scoresOf(
  { ops, shape: { batch }, distances }: AttentionPass,
  block: RowBlock,
  products: Tensor,
  { q, k }: Pick<Heads, 'q' | 'k'>,
): Tensor {
  const biased = block.bias ? addScoreBias(ops, products, block.bias, batch) : products;
  return distances ? addDistanceScores(ops, biased, distances, { q, k, block, batch }) : biased;
}

/** softmax(scores + mask). Frees the scores [batch · kv_heads, group · rows, keys]. */
function maskedSoftmax(pass: AttentionPass, scores: Tensor, block: RowBlock): Tensor {
  const { ops, shape, sinks } = pass;
  const { start, end, from, to, mask } = block;
  if (sinks) return softmaxWithSinks(pass, sinks, scores, block);
  if (ops.fused) return thenFree(ops, ops.fused.softmax(scores, mask), scores);
  if (!mask) return thenFree(ops, ops.softmax(scores), scores);
  const byHead = [shape.batch, shape.num_heads, end - start, to - from];
  const unflattened = thenFree(ops, ops.reshape(scores, byHead), scores);
  const masked = thenFree(ops, ops.add(unflattened, mask), unflattened);
  const flat = thenFree(ops, ops.reshape(masked, scores.shape), masked);
  return thenFree(ops, ops.softmax(flat), flat);
}

/** The same with one more score in each row, that of its head's sink, which is left out again. */
function softmaxWithSinks(
  { ops, shape: { batch, num_heads } }: AttentionPass,
  sinks: Tensor,
  scores: Tensor,
  { start, end, from, to, mask }: RowBlock,
): Tensor {
  const [rows, keys] = [end - start, to - from];
  const byHead = thenFree(ops, ops.reshape(scores, [batch, num_heads, rows, keys]), scores);
  const wide = castAndFree(ops, byHead, 'f32');
  const masked = mask ? thenFree(ops, ops.add(wide, mask), wide) : wide;
  const ones = ops.upload(new Float32Array(batch * rows).fill(1), [batch, 1, rows, 1]);
  const column = ops.reshape(sinks, [1, num_heads, 1, 1]);
  const ofSinks = thenFree(ops, ops.mul(ones, column), ones, column);
  const all = concatAndFree(ops, [masked, ofSinks], 3);
  const p = thenFree(ops, ops.softmax(all), all); // [batch, heads, rows, keys + 1]
  const own = thenFree(ops, ops.slice(p, [0, 0, 0, 0], [batch, num_heads, rows, keys]), p);
  return thenFree(ops, ops.reshape(own, scores.shape), own);
}

/** The queries, keys and values of a block, as batches of matrices. */
function headsOfBlock(pass: AttentionPass, { q, k, v }: Heads, block: RowBlock): Heads {
  return {
    q: queryRows(pass, q, block, pass.shape.head_dim),
    k: sliceRange(pass.ops, k, 1, block),
    v: sliceRange(pass.ops, v, 1, block),
  };
}

/** [batch, heads, length, width] -> the block's rows [batch · kv_heads, group · rows, width] */
function queryRows(
  { ops, shape }: AttentionPass,
  x: Tensor,
  { start, end }: RowBlock,
  width: number,
): Tensor {
  const rows = sliceRange(ops, x, 2, { from: start, to: end });
  const { batch, num_heads, num_kv_heads } = shape;
  const group = num_heads / num_kv_heads;
  const matrices = [batch * num_kv_heads, group * (end - start), width];
  return thenFree(ops, ops.reshape(rows, matrices), rows);
}

/** [batch · kv_heads, group · rows, head_dim] -> [batch, heads, rows, head_dim]. Frees x. */
function toQueryShape(
  { ops, shape: { batch, num_heads, head_dim } }: AttentionPass,
  x: Tensor,
  { start, end }: RowBlock,
): Tensor {
  return thenFree(ops, ops.reshape(x, [batch, num_heads, end - start, head_dim]), x);
}

/** x[from..to] along an axis; without a copy if that is all of x. */
function sliceRange(
  ops: Ops,
  x: Tensor,
  axis: number,
  { from, to }: Pick<RowBlock, 'from' | 'to'>,
): Tensor {
  if (from === 0 && to === x.shape[axis]) return ops.reshape(x, x.shape);
  return ops.slice(
    x,
    x.shape.map((_, i) => (i === axis ? from : 0)),
    x.shape.map((size, i) => (i === axis ? to - from : size)),
  );
}

/** Sum of the blocks' gradients of keys or values, each padded to the whole length. Frees them. */
function sumOfKeyGradients(
  { ops, shape: { length }, rowBlocks }: AttentionPass,
  parts: readonly Tensor[],
): Tensor {
  const padded = parts.map((x, i) => {
    const { from, to } = rowBlocks[i]!;
    return from === 0 && to === length ? x : thenFree(ops, ops.pad(x, 1, from, length - to), x);
  });
  const dtype = parts[0]!.dtype as Precision;
  return castAndFree(ops, sumAndFree(ops, padded, null, dtype), dtype);
}

/** [batch, heads, length, head_dim] -> [n, heads · head_dim] */
function rowsFromHeads(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads, head_dim }: AttentionShape,
): Tensor {
  const rows = ops.transpose(x, [0, 2, 1, 3]);
  return thenFree(ops, ops.reshape(rows, [batch * length, num_heads * head_dim]), rows);
}

/** [n, heads · width] -> [batch, heads, length, width] */
function headsFromRows(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads }: AttentionShape,
  width: number,
): Tensor {
  const rows = ops.reshape(x, [batch, length, num_heads, width]);
  return thenFree(ops, ops.transpose(rows, [0, 2, 1, 3]), rows);
}

/** sum(o · dO) of each head's rows: [n, heads · head_dim] twice -> [batch, heads, length, 1] */
function rowDotProducts({ ops, shape }: AttentionPass, o: Tensor, dO: Tensor): Tensor {
  const { batch, length, num_heads, head_dim } = shape;
  if (ops.fused) {
    const dots = ops.fused.rowDots(o, dO, num_heads);
    return thenFree(ops, headsFromRows(ops, dots, shape, 1), dots);
  }
  const product = ops.mul(o, dO);
  const byHead = [batch * length, num_heads, head_dim];
  const rows = thenFree(ops, ops.reshape(product, byHead), product);
  const dots = thenFree(ops, ops.sum(rows), rows);
  return thenFree(ops, headsFromRows(ops, dots, shape, 1), dots);
}
