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
import type { AttentionGradient, AttentionOutput, AttentionPass, BlockPlan } from './attentionPass';
import {
  headsFromRows,
  headsOfBlock,
  queryRows,
  rowDotProducts,
  rowsFromHeads,
  toQueryShape,
  type BlockRange,
} from './queryBlocks';
import { keyRange, uploadMask, visibilityOf, type AttentionWindow } from './rowBlocks';

// Attention by blocks of queries and keys (online softmax, Milakov & Gimelshein 2018; its gradient,
// FlashAttention-2, Dao 2023), with memory linear in the length of the rows. For backends without
// the fused kernel.

type BlockPass = Omit<AttentionPass, 'seen' | 'distances'> & { readonly plan: BlockPlan };

/** softmax(q kᵀ + mask) v. Does not free the heads. */
export function attendInBlocks(pass: BlockPass, heads: Heads): AttentionOutput {
  const { ops, shape } = pass;
  const blocks = queryBlocks(pass).map((keys) => attendBlock(pass, heads, keys));
  const outputs = blocks.map(({ o }) => o);
  const o = castAndFree(ops, concatAndFree(ops, outputs, 2), heads.v.dtype as Precision);
  return {
    o: thenFree(ops, rowsFromHeads(ops, o, shape), o),
    kept: blocks.flatMap(({ top, total }) => [top, total]),
  };
}

/** The blocks of keys that each block of queries sees. */
function queryBlocks({ shape: { length }, plan }: BlockPass): BlockRange[][] {
  const blocks: BlockRange[][] = [];
  for (let start = 0; start < length; start += plan.queries) {
    const { end, from, to } = keyRange(plan, start, length, plan.queries);
    const first = from - (from % plan.keys);
    const count = Math.ceil((to - first) / plan.keys);
    blocks.push(
      Array.from({ length: count }, (_, i) => {
        const at = first + i * plan.keys;
        return { start, end, from: at, to: Math.min(length, at + plan.keys) };
      }),
    );
  }
  return blocks;
}

interface OnlineSoftmax {
  /** The largest score of each query so far. */
  readonly top: Tensor; // [batch · kv_heads, group · rows, 1]
  /** The sum of e^(score - top). */
  readonly total: Tensor; // [batch · kv_heads, group · rows, 1]
}

/** The output of a block of queries, o [batch, heads, rows, head_dim]. */
function attendBlock(
  pass: BlockPass,
  heads: Heads,
  keys: readonly BlockRange[],
): OnlineSoftmax & { readonly o: Tensor } {
  const { ops } = pass;
  let sums: (OnlineSoftmax & { readonly o: Tensor }) | null = null;
  for (const block of keys) {
    const { q, k, v } = headsOfBlock(pass, heads, block);
    const scores = thenFree(ops, scoresOf(pass, block, { q, k }).scores, q, k);
    const highest = ops.max(scores);
    const top: Tensor = sums ? largerOf(ops, sums.top, highest) : highest;
    if (top !== highest) ops.free(highest);
    const p = thenFree(ops, exponentials(ops, scores, top), scores);
    const rounded = ops.cast(p, v.dtype as Precision);
    const total = thenFree(ops, ops.sum(p), p);
    const o = thenFree(ops, ops.batchMatMul(rounded, v), rounded, v);
    sums = sums ? joined(ops, sums, { top, total, o }) : { top, total, o };
  }
  const { top, total, o } = pass.sinks ? withSinks(pass, pass.sinks, sums!, keys[0]!) : sums!;
  const mean = thenFree(ops, ops.div(o, total), o);
  return { top, total, o: toQueryShape(pass, mean, keys[0]!) };
}

/** The sums with one more key, that of each head's sink, which has no value. Frees `sums`. */
function withSinks(
  { ops, shape: { batch, num_heads } }: BlockPass,
  sinks: Tensor,
  sums: OnlineSoftmax & { readonly o: Tensor },
  { start, end }: BlockRange,
): OnlineSoftmax & { readonly o: Tensor } {
  const rows = end - start;
  const ones = ops.upload(new Float32Array(batch * rows).fill(1), [batch, 1, rows, 1]);
  const column = ops.reshape(sinks, [1, num_heads, 1, 1]);
  const byHead = thenFree(ops, ops.mul(ones, column), ones, column);
  const scores = thenFree(ops, ops.reshape(byHead, sums.top.shape), byHead);
  const top = largerOf(ops, sums.top, scores);
  const total = thenFree(ops, exponentials(ops, scores, top), scores);
  const o = ops.scale(sums.o, 0);
  return joined(ops, sums, { top, total, o });
}

/** The sums of the blocks so far and of one more, whose `top` is the larger one. Frees them. */
function joined(
  ops: Ops,
  before: OnlineSoftmax & { readonly o: Tensor },
  { top, total, o }: OnlineSoftmax & { readonly o: Tensor },
): OnlineSoftmax & { readonly o: Tensor } {
  const factor = exponentials(ops, before.top, top);
  const scaled = (x: Tensor) => thenFree(ops, ops.mul(x, factor), x);
  const both = [
    sumAndFree(ops, [scaled(before.total), total]),
    sumAndFree(ops, [scaled(before.o), o]),
  ] as const;
  ops.free(factor, before.top);
  return { top, total: both[0], o: both[1] };
}

/** e^(x - top) */
function exponentials(ops: Ops, x: Tensor, top: Tensor): Tensor {
  const below = ops.sub(x, top);
  return thenFree(ops, ops.exp(below), below);
}

function largerOf(ops: Ops, a: Tensor, b: Tensor): Tensor {
  const difference = ops.sub(b, a);
  const growth = thenFree(ops, ops.relu(difference), difference);
  return thenFree(ops, ops.add(a, growth), growth);
}

/** Scores of a block with what is added to them, and the slope of the softcap at each. */
function scoresOf(
  pass: BlockPass,
  block: BlockRange,
  { q, k }: Pick<Heads, 'q' | 'k'>,
  wantsSlope = false,
): { readonly scores: Tensor; readonly slope: Tensor | null } {
  const { ops, softcap, plan } = pass;
  const products = ops.batchMatMul(q, k, false, true);
  const bias = plan.bias?.ofBlock(block, 0);
  const biased = bias ? addByHead(pass, products, bias) : products;
  const { y, slope } = capped(ops, biased, { softcap, wantsSlope });
  return { scores: masked(pass, y, block), slope };
}

/** Frees the scores. */
function capped(
  ops: Ops,
  scores: Tensor,
  { softcap, wantsSlope }: { readonly softcap: number | null; readonly wantsSlope: boolean },
): { readonly y: Tensor; readonly slope: Tensor | null } {
  if (softcap === null) return { y: scores, slope: null };
  if (wantsSlope) return applySoftcapWithSlope(ops, scores, softcap);
  return { y: applySoftcap(ops, scores, softcap), slope: null };
}

/** Hides what the queries do not see. Frees the scores. */
function masked(pass: BlockPass, scores: Tensor, block: BlockRange): Tensor {
  const { ops, plan } = pass;
  const sequences = visibilityOf(plan.input, plan);
  if (!sequences || (sequences.length === 1 && isWhollyVisible(plan, block))) return scores;
  return addByHead(pass, scores, uploadMask(ops, sequences, block));
}

/** scores + x [1 or batch, 1 or heads, rows, keys], both of which are freed. */
function addByHead({ ops, shape }: BlockPass, scores: Tensor, x: Tensor): Tensor {
  const byHead = [shape.batch, shape.num_heads, ...x.shape.slice(2)];
  const unflattened = thenFree(ops, ops.reshape(scores, byHead), scores);
  const sum = thenFree(ops, ops.add(unflattened, x), unflattened, x);
  return thenFree(ops, ops.reshape(sum, scores.shape), sum);
}

/** Whether every query of the block sees every key of it, of those that padding does not hide. */
function isWhollyVisible({ causal, window }: AttentionWindow, block: BlockRange): boolean {
  const [most, least] = [block.end - 1 - block.from, block.start - (block.to - 1)];
  if (causal && least < 0) return false;
  return window === null || Math.max(most, -least) < window;
}

/** Gradients of the heads for dO [n, heads · head_dim]. Frees none of its inputs. */
export function attendInBlocksBackward(
  pass: BlockPass,
  heads: Heads,
  { o, kept }: AttentionOutput,
  dO: Tensor,
): AttentionGradient {
  const { ops, shape, plan } = pass;
  const dtype = heads.v.dtype as Precision;
  const rows = ops.cast(dO, dtype);
  const dHeads = thenFree(ops, headsFromRows(ops, rows, shape, shape.head_dim), rows);
  const D = rowDotProducts(pass, o, dO); // [batch, heads, length, 1]
  const count = Math.ceil(shape.length / plan.keys);
  const none = () => Array.from({ length: count }, (): Tensor | null => null);
  const sums: KeySums = { k: none(), v: none() };
  const dQs = queryBlocks(pass).map((keys, i) => {
    const softmax = { top: kept![2 * i]!, total: kept![2 * i + 1]! };
    return queryGradient(pass, keys, { heads, dHeads, D, softmax, sums });
  });
  ops.free(dHeads, D);
  const whole = (parts: readonly (Tensor | null)[], axis: number) =>
    castAndFree(ops, concatAndFree(ops, parts as readonly Tensor[], axis), dtype);
  const gradients = { q: whole(dQs, 2), k: whole(sums.k, 1), v: whole(sums.v, 1) };
  return { dHeads: gradients, dDistances: { key: null, query: null } };
}

/** Of each block of keys the sum of the gradients so far. */
interface KeySums {
  readonly k: (Tensor | null)[];
  readonly v: (Tensor | null)[];
}

interface BlockGradientInput {
  readonly heads: Heads;
  readonly dHeads: Tensor;
  readonly D: Tensor;
  readonly softmax: OnlineSoftmax;
  readonly sums: KeySums;
}

/** dQ [batch, heads, rows, head_dim] of a block of queries; adds its part to those of the keys. */
function queryGradient(
  pass: BlockPass,
  keys: readonly BlockRange[],
  input: BlockGradientInput,
): Tensor {
  const { ops, shape, plan } = pass;
  const { heads, sums } = input;
  const [block] = keys as [BlockRange];
  const dO = queryRows(pass, input.dHeads, block, shape.head_dim);
  const d = queryRows(pass, input.D, block, 1);
  const dQ = keys.map((own) => {
    const { q, k, v } = headsOfBlock(pass, heads, own);
    const { p, dS } = scoreGradient(pass, own, { q, k, v, dO, d, softmax: input.softmax });
    const j = own.from / plan.keys;
    sums.v[j] = added(ops, sums.v[j]!, thenFree(ops, ops.batchMatMul(p, dO, true), p, v));
    sums.k[j] = added(ops, sums.k[j]!, thenFree(ops, ops.batchMatMul(dS, q, true), q));
    return castAndFree(ops, thenFree(ops, ops.batchMatMul(dS, k), dS, k), 'f32');
  });
  ops.free(dO, d);
  return toQueryShape(pass, sumAndFree(ops, dQ), block);
}

/** The probabilities of a block, and the gradient of its scores, both in the heads' type. */
function scoreGradient(
  pass: BlockPass,
  block: BlockRange,
  {
    q,
    k,
    v,
    dO,
    d,
    softmax,
  }: Heads & { readonly dO: Tensor; readonly d: Tensor; readonly softmax: OnlineSoftmax },
): { readonly p: Tensor; readonly dS: Tensor } {
  const { ops } = pass;
  const dtype = q.dtype as Precision;
  const { scores, slope } = scoresOf(pass, block, { q, k }, true);
  const e = thenFree(ops, exponentials(ops, scores, softmax.top), scores);
  const p = thenFree(ops, ops.div(e, softmax.total), e);
  const dP = ops.batchMatMul(dO, v, false, true);
  const centred = thenFree(ops, ops.sub(dP, d), dP);
  const dCapped = thenFree(ops, ops.mul(p, centred), centred);
  const dScores = slope ? thenFree(ops, ops.mul(dCapped, slope), dCapped, slope) : dCapped;
  return { p: castAndFree(ops, p, dtype), dS: castAndFree(ops, dScores, dtype) };
}

/** The sum, in f32, of what is there and of one more. Frees both. */
function added(ops: Ops, sum: Tensor | null, term: Tensor): Tensor {
  const wide = castAndFree(ops, term, 'f32');
  return sum ? sumAndFree(ops, [sum, wide]) : wide;
}
