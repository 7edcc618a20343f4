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
import type { AttentionGradient, AttentionOutput, AttentionPass } from './attentionPass';
import { addDistanceScores, distanceScoresBackward, type Distances } from './distances';
import {
  headsFromRows,
  headsOfBlock,
  queryRows,
  rowDotProducts,
  rowsFromHeads,
  sliceRange,
  toQueryShape,
} from './queryBlocks';
import type { RowBlock } from './rowBlocks';
import { addScoreBias } from './scoreBias';

// Attention by blocks of queries, each with the scores of all keys that it sees.

export type RowPass = Omit<AttentionPass, 'seen' | 'rope'> & {
  readonly rowBlocks: readonly RowBlock[];
};

/**
 * softmax(q kᵀ + mask) v. The query heads of one kv head are rows of one product. Does not free the
 * heads.
 */
export function attendRows(
  pass: RowPass,
  heads: Heads,
  keepProbabilities: boolean,
): AttentionOutput {
  const { ops, shape, rowBlocks } = pass;
  if (!keepProbabilities && shape.length === 1) {
    const o = attendOneToken(pass, heads);
    if (o) return { o, kept: null };
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
    kept: keepProbabilities ? kept : null,
  };
}

/** One new token per sequence by the fused kernel; null if the kernel cannot compute it. */
function attendOneToken(
  { ops, rowBlocks, softcap, distances, sinks }: RowPass,
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
export function attendRowsBackward(
  pass: RowPass,
  heads: Heads,
  { o, kept: probabilities }: AttentionOutput,
  dO: Tensor,
): AttentionGradient {
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
    k: sumOfKeyGradients(pass, dKs, heads.k.shape[1]!),
    v: sumOfKeyGradients(pass, dVs, heads.k.shape[1]!),
  };
  return { dHeads: gradients, dDistances: { key: total('key'), query: total('query') } };
}

type BlockGradient = Heads & { readonly distances: Distances | null };

/** The gradients of one block's queries, and of its keys and values. */
function blockBackward(
  pass: RowPass,
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
  block.biasGradient?.add(dScores);
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
  pass: RowPass,
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
  { ops, shape: { batch }, distances }: RowPass,
  block: RowBlock,
  products: Tensor,
  { q, k }: Pick<Heads, 'q' | 'k'>,
): Tensor {
  const biased = block.bias ? addScoreBias(ops, products, block.bias, batch) : products;
  return distances ? addDistanceScores(ops, biased, distances, { q, k, block, batch }) : biased;
}

/** softmax(scores + mask). Frees the scores [batch · kv_heads, group · rows, keys]. */
function maskedSoftmax(pass: RowPass, scores: Tensor, block: RowBlock): Tensor {
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
  { ops, shape: { batch, num_heads } }: RowPass,
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

/** Sum of the blocks' gradients of keys or values, each padded to the whole length. Frees them. */
function sumOfKeyGradients(
  { ops, rowBlocks }: RowPass,
  parts: readonly Tensor[],
  length: number,
): Tensor {
  const padded = parts.map((x, i) => {
    const { from, to } = rowBlocks[i]!;
    return from === 0 && to === length ? x : thenFree(ops, ops.pad(x, 1, from, length - to), x);
  });
  const dtype = parts[0]!.dtype as Precision;
  return castAndFree(ops, sumAndFree(ops, padded, null, dtype), dtype);
}
