import type { ScoreBiasSpec } from '../../formats/architecture/spec';
import { thenFree, type Ops, type Tensor } from '../ops/ops';
import type { BlockRange } from './queryBlocks';

/**
 * T5's bucket of a key seen from a query (`_relative_position_bucket` of transformers): half of the
 * buckets are for keys after it where it sees those; the nearest distances have one each, the
 * others share one the more the farther they are.
 */
export function bucketOf(
  { buckets, max_distance, bidirectional }: BucketsSpec,
  query: number,
  key: number,
): number {
  const own = bidirectional ? Math.floor(buckets / 2) : buckets;
  const exact = Math.floor(own / 2);
  const distance = bidirectional ? Math.abs(query - key) : Math.max(0, query - key);
  const side = bidirectional && key > query ? own : 0;
  if (distance < exact) return side + distance;
  const share = Math.fround(
    Math.fround(Math.log(Math.fround(distance / exact))) /
      Math.fround(Math.log(max_distance / exact)),
  );
  return side + Math.min(own - 1, exact + Math.trunc(Math.fround(share * (own - exact))));
}

type BucketsSpec = Pick<ScoreBiasSpec, 'buckets' | 'max_distance' | 'bidirectional'>;

/** Learned biases of attention's scores by distance. They are frozen. */
export class ScoreBias {
  constructor(
    private readonly ops: Ops,
    private readonly spec: ScoreBiasSpec,
    private readonly table: Float32Array, // [rows, heads]
  ) {}

  /** The biases of a block's queries, which begin at `first`. [1, heads, rows, keys] */
  ofBlock({ start, end, from, to }: BlockRange, first: number): Tensor {
    const { heads } = this.spec;
    const [rows, keys] = [end - start, to - from];
    const data = new Float32Array(heads * rows * keys);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < keys; j++) {
        const bucket = bucketOf(this.spec, first + start + i, from + j);
        for (let head = 0; head < heads; head++)
          data[(head * rows + i) * keys + j] = this.table[bucket * heads + head]!;
      }
    }
    return this.ops.upload(data, [1, heads, rows, keys]);
  }
}

/**
 * scores [batch · kv_heads, group · rows, keys] + bias [1 or batch, heads, rows, keys]. Frees the
 * scores.
 */
export function addScoreBias(ops: Ops, scores: Tensor, bias: Tensor, batch: number): Tensor {
  const [, heads, rows, keys] = bias.shape as [number, number, number, number];
  const byHead = thenFree(ops, ops.reshape(scores, [batch, heads, rows, keys]), scores);
  const sum = thenFree(ops, ops.add(byHead, bias), byHead);
  return thenFree(ops, ops.reshape(sum, scores.shape), sum);
}
