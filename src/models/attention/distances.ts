import type { DistanceSpec } from '../../formats/architecture/spec';
import {
  linearBackward,
  linearForward,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  castAndFree,
  columnSums,
  concatAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import { distanceRows } from './distanceRows';
import type { AttentionShape } from './headLayout';
import type { RowBlock } from './rowBlocks';
import { skew, skewBackward } from './skew';

// Disentangled attention (DeBERTa, He et al. 2021): a score is the sum of the products of a query
// with a key, of the query with the vector of their distance, and of that vector with the key.

/** What a layer makes the distance embeddings from. */
export interface DistanceWeights {
  readonly spec: DistanceSpec;
  /** A vector for each bucket of distances. Frozen, and the same in all layers. */
  readonly table: Tensor; // [2 · span, d]
  /** Attention's scale, which queries have already. */
  readonly scale: number;
  /** Null: the layer's projection of keys, or of queries. */
  readonly key: Linear | null;
  readonly query: Linear | null;
}

/** Vectors of the distances from -(length - 1) to length - 1; null: not a part of the scores. */
export interface Distances {
  /** The largest distance first. */
  readonly key: Tensor | null; // [heads, 2 length - 1, head_dim]
  /** The smallest distance first, scaled. */
  readonly query: Tensor | null; // [heads, 2 length - 1, head_dim]
}

export interface DistancesSaved extends Distances {
  /** Of the product that both come from, or of the products of each. */
  readonly linears: readonly LinearSaved[];
}

export const distancesTensors = ({ key, query, linears }: DistancesSaved): Tensor[] => [
  ...(key ? [key] : []),
  ...(query ? [query] : []),
  ...linears.flatMap(savedTensors),
];

type Order = 'falling' | 'rising';

/** `qkv`: the layer's projection, of which the table's vectors are made too if they are shared. */
export function projectDistances(
  computation: Computation,
  w: DistanceWeights,
  qkv: Linear,
  shape: AttentionShape,
): DistancesSaved {
  const { ops } = computation;
  const { c2p, p2c } = w.spec;
  const dtype = qkv.weight.dtype;
  const expandRows = (rows: Tensor, order: Order) =>
    castAndFree(ops, expanded(ops, w, rows, { shape, order }), dtype);
  const expandQuery = (rows: Tensor) =>
    expandRows(thenFree(ops, ops.scale(rows, w.scale), rows), 'rising');
  if (!w.key && !w.query) {
    const { y, saved } = linearForward(computation, qkv, w.table);
    const wide = castAndFree(ops, y, 'f32');
    const width = wide.shape[1]! / 3;
    const [q, k, v] = ops.split(wide, [width, width, width], 1) as [Tensor, Tensor, Tensor];
    ops.free(wide, v, ...(p2c ? [] : [q]), ...(c2p ? [] : [k]));
    return {
      key: c2p ? expandRows(k, 'falling') : null,
      query: p2c ? expandQuery(q) : null,
      linears: [saved],
    };
  }
  const key = w.key && linearForward(computation, w.key, w.table);
  const query = w.query && linearForward(computation, w.query, w.table);
  return {
    key: key && expandRows(castAndFree(ops, key.y, 'f32'), 'falling'),
    query: query && expandQuery(castAndFree(ops, query.y, 'f32')),
    linears: [key, query].flatMap((own) => (own ? [own.saved] : [])),
  };
}

interface Expansion {
  readonly shape: AttentionShape;
  readonly order: Order;
}

/** rows [2 · span, heads · head_dim], which are freed -> [heads, 2 length - 1, head_dim] */
function expanded(
  ops: Ops,
  { spec }: DistanceWeights,
  rows: Tensor,
  { shape: { length, num_heads, head_dim }, order }: Expansion,
): Tensor {
  const places = distanceRows(spec, length, order === 'falling');
  const indices = ops.upload(places, [places.length]);
  const vectors = thenFree(ops, ops.gather(rows, indices), rows, indices);
  const byHead = [places.length, num_heads, head_dim];
  const split = thenFree(ops, ops.reshape(vectors, byHead), vectors);
  return thenFree(ops, ops.transpose(split, [1, 0, 2]), split);
}

/** The inverse for gradients: each bucket gets the sum over its distances. Frees d. */
function collapsed(
  ops: Ops,
  { spec, table }: DistanceWeights,
  d: Tensor,
  { shape: { length, num_heads, head_dim }, order }: Expansion,
): Tensor {
  const places = distanceRows(spec, length, order === 'falling');
  const buckets = table.shape[0]!;
  const oneHot = new Float32Array(places.length * buckets);
  places.forEach((bucket, i) => (oneHot[i * buckets + bucket] = 1));
  const choice = ops.upload(oneHot, [places.length, buckets]);
  const byDistance = thenFree(ops, ops.transpose(d, [1, 0, 2]), d);
  const width = num_heads * head_dim;
  const flat = thenFree(ops, ops.reshape(byDistance, [places.length, width]), byDistance);
  return thenFree(ops, ops.matMul(choice, flat, true), choice, flat);
}

/** Accumulates the gradients of what makes the vectors, for theirs, which are freed. */
export async function distancesBackward(
  computation: Computation,
  w: DistanceWeights,
  {
    qkv,
    shape,
    saved,
  }: { readonly qkv: Linear; readonly shape: AttentionShape; readonly saved: DistancesSaved },
  d: Distances,
): Promise<void> {
  const { ops } = computation;
  const dKey = d.key && collapsed(ops, w, d.key, { shape, order: 'falling' });
  const dQuery = d.query && collapsed(ops, w, d.query, { shape, order: 'rising' });
  const dScaled = dQuery && thenFree(ops, ops.scale(dQuery, w.scale), dQuery);
  if (!w.key && !w.query) {
    const zeros = () => {
      const size = [w.table.shape[0]!, shape.num_heads * shape.head_dim];
      return ops.upload(new Float32Array(size[0]! * size[1]!), size);
    };
    const dy = concatAndFree(ops, [dScaled ?? zeros(), dKey ?? zeros(), zeros()], 1);
    await linearBackward(computation, qkv, { dy, x: w.table, saved: saved.linears[0]! }, false);
    ops.free(dy);
    return;
  }
  const linears = [...saved.linears];
  for (const [linear, dy] of [
    [w.key, dKey],
    [w.query, dScaled],
  ] as const) {
    if (!linear || !dy) continue;
    const gradient = { dy, x: w.table, saved: linears.shift()! };
    await linearBackward(computation, linear, gradient, false);
    ops.free(dy);
  }
}

/** A block's queries [batch · heads, rows, head_dim] and keys [batch · heads, length, head_dim]. */
interface BlockVectors {
  readonly q: Tensor;
  readonly k: Tensor;
}

/** scores + what distances add to them, [batch · heads, rows, length]. Frees the scores. */
export function addDistanceScores(
  ops: Ops,
  scores: Tensor,
  { key, query }: Distances,
  { q, k, block, batch }: BlockVectors & { readonly block: RowBlock; readonly batch: number },
): Tensor {
  const terms = [castAndFree(ops, scores, 'f32')];
  const length = k.shape[1]!;
  if (key) {
    const own = rowsOfBlock(ops, key, { from: length - block.end, block, length, batch });
    const products = thenFree(ops, ops.batchMatMul(q, own, false, true), own);
    terms.push(skew(ops, castAndFree(ops, products, 'f32'), length));
  }
  if (query) {
    const own = rowsOfBlock(ops, query, { from: block.start, block, length, batch });
    const products = thenFree(ops, ops.batchMatMul(k, own, false, true), own);
    const byKey = skew(ops, castAndFree(ops, products, 'f32'), block.end - block.start);
    terms.push(thenFree(ops, ops.transpose(byKey, [0, 2, 1]), byKey));
  }
  return sumAndFree(ops, terms);
}

/** The gradients of a block's queries, keys and vectors by the distances' part of its scores. */
interface DistanceGradients {
  readonly dq: Tensor | null;
  readonly dk: Tensor | null;
  readonly d: Distances;
}

/** For dScores [batch · heads, rows, length]. Frees nothing. */
export function distanceScoresBackward(
  ops: Ops,
  { key, query }: Distances,
  { q, k, block, batch }: BlockVectors & { readonly block: RowBlock; readonly batch: number },
  dScores: Tensor,
): DistanceGradients {
  const length = k.shape[1]!;
  const place = { block, length, batch };
  const ofKey =
    key &&
    productBackward(ops, skewBackward(ops, dScores), {
      x: q,
      vectors: key,
      place: { from: length - block.end, ...place },
    });
  const byKey = query && ops.transpose(dScores, [0, 2, 1]);
  const ofQuery =
    byKey &&
    productBackward(ops, skewBackward(ops, byKey), {
      x: k,
      vectors: query,
      place: { from: block.start, ...place },
    });
  if (byKey) ops.free(byKey);
  return {
    dq: ofKey?.dx ?? null,
    dk: ofQuery?.dx ?? null,
    d: { key: ofKey?.dVectors ?? null, query: ofQuery?.dVectors ?? null },
  };
}

/** The gradients of x and of the vectors for that of their products, which is freed. */
function productBackward(
  ops: Ops,
  dProducts: Tensor,
  {
    x,
    vectors,
    place,
  }: { readonly x: Tensor; readonly vectors: Tensor; readonly place: PlaceOfBlock },
): { readonly dx: Tensor; readonly dVectors: Tensor } {
  const d = castAndFree(ops, dProducts, x.dtype as Precision);
  const own = rowsOfBlock(ops, vectors, place);
  const dx = thenFree(ops, ops.batchMatMul(d, own), own);
  return { dx, dVectors: thenFree(ops, vectorsGradient(ops, d, x, place), d) };
}

interface PlaceOfBlock {
  /** The first of the vectors. */
  readonly from: number;
  readonly block: RowBlock;
  readonly length: number;
  readonly batch: number;
}

/** Vectors of a block's distances [batch · heads, rows + length - 1, head_dim]. */
function rowsOfBlock(
  ops: Ops,
  vectors: Tensor,
  { from, block, length, batch }: PlaceOfBlock,
): Tensor {
  const [heads, , width] = vectors.shape as [number, number, number];
  const count = block.end - block.start + length - 1;
  const own = ops.slice(vectors, [0, from, 0], [heads, count, width]);
  if (batch === 1) return own;
  return thenFree(ops, ops.concat(new Array<Tensor>(batch).fill(own), 0), own);
}

/** dᵀ x, summed over the batch, with zeros for the distances outside of the block. */
function vectorsGradient(ops: Ops, d: Tensor, x: Tensor, place: PlaceOfBlock): Tensor {
  const { from, length, batch } = place;
  const each = castAndFree(ops, ops.batchMatMul(d, x, true), 'f32'); // [batch · heads, rows, head_dim]
  const [all, rows, width] = each.shape as [number, number, number];
  const flat = thenFree(ops, ops.reshape(each, [batch, (all / batch) * rows * width]), each);
  const sum = thenFree(ops, columnSums(ops, flat), flat);
  const byHead = thenFree(ops, ops.reshape(sum, [all / batch, rows, width]), sum);
  return thenFree(ops, ops.pad(byHead, 1, from, 2 * length - 1 - from - rows), byHead);
}
