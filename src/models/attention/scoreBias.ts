import type { ScoreBiasSpec } from '../../formats/architecture/spec';
import { thenFree, type Ops, type Tensor } from '../ops/ops';
import type { BlockRange } from './queryBlocks';

/** MPNet has 32 buckets, whatever its config says. */
const BUCKETS = 32;
const MAX_DISTANCE = 128;

/**
 * T5's bucket of a key seen from a query (`relative_position_bucket` of transformers): half of the
 * buckets are for keys after it; the nearest distances have one each, the others share one the more
 * the farther they are.
 */
export function bucketOf(query: number, key: number): number {
  const half = BUCKETS / 2;
  const exact = half / 2;
  const distance = Math.abs(query - key);
  const side = key > query ? half : 0;
  if (distance < exact) return side + distance;
  const share = Math.fround(
    Math.fround(Math.log(Math.fround(distance / exact))) /
      Math.fround(Math.log(MAX_DISTANCE / exact)),
  );
  return side + Math.min(half - 1, exact + Math.trunc(Math.fround(share * (half - exact))));
}

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
        const bucket = bucketOf(first + start + i, from + j);
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
