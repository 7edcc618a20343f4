import type { ScoreBiasSpec } from '../../formats/architecture/spec';
import { columnSums, sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { DenseWeight } from '../weightTensor';
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

/** Learned biases of attention's scores by distance. */
export class ScoreBias {
  private constructor(
    private readonly ops: Ops,
    private readonly spec: ScoreBiasSpec,
    private readonly weight: DenseWeight, // [rows, heads]
    private table: Float32Array,
  ) {}

  /** The weight stays its owner's. */
  static async of(ops: Ops, spec: ScoreBiasSpec, weight: DenseWeight): Promise<ScoreBias> {
    return new ScoreBias(ops, spec, weight, await tableOf(ops, weight));
  }

  get trains(): boolean {
    return this.weight.gradientSink !== null;
  }

  /** To be called when the weight has changed. */
  async refresh(): Promise<void> {
    this.table = await tableOf(this.ops, this.weight);
  }

  /**
   * Adds the gradients of the biases of blocks, whose queries begin at `first`, to that of the
   * table, and frees them.
   */
  async accumulate(blocks: readonly BiasedBlock[], first: number): Promise<void> {
    const { heads, rows: buckets } = this.spec;
    const sums = new Float64Array(buckets * heads);
    for (const { block, gradient } of blocks) {
      const found = gradient.take();
      if (!found) continue;
      const data = await this.ops.download(found);
      this.ops.free(found);
      this.forEachPair(block, first, (bucket, at, pairs) => {
        for (let head = 0; head < heads; head++)
          sums[bucket * heads + head]! += data[head * pairs + at]!;
      });
    }
    const total = this.ops.upload(Float32Array.from(sums), [buckets, heads]);
    await this.weight.gradientSink?.accumulate(total);
  }

  /** The biases of a block's queries, which begin at `first`. [1, heads, rows, keys] */
  ofBlock({ start, end, from, to }: BlockRange, first: number): Tensor {
    const { heads } = this.spec;
    const [rows, keys] = [end - start, to - from];
    const data = new Float32Array(heads * rows * keys);
    this.forEachPair({ start, end, from, to }, first, (bucket, at, pairs) => {
      for (let head = 0; head < heads; head++)
        data[head * pairs + at] = this.table[bucket * heads + head]!;
    });
    return this.ops.upload(data, [1, heads, rows, keys]);
  }

  /** Calls `visit` with the bucket of each query and key of a block, and their place in it. */
  private forEachPair(
    { start, end, from, to }: BlockRange,
    first: number,
    visit: (bucket: number, at: number, pairs: number) => void,
  ): void {
    const [rows, keys] = [end - start, to - from];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < keys; j++) {
        const bucket = bucketOf(this.spec, first + start + i, from + j);
        visit(bucket, i * keys + j, rows * keys);
      }
    }
  }
}

const tableOf = async (ops: Ops, { tensor }: DenseWeight): Promise<Float32Array> =>
  (await ops.download(tensor)).slice();

/** A block of queries whose biases train. */
export interface BiasedBlock {
  readonly block: BlockRange;
  readonly gradient: BiasGradient;
}

/**
 * The gradient of the biases of a block of queries, summed over the batch and the layers that share
 * them. The pass owns it.
 */
export class BiasGradient {
  private sum: Tensor | null = null; // [heads · rows · keys]

  constructor(
    private readonly ops: Ops,
    private readonly batch: number,
  ) {}

  /** Adds that of one layer: dScores [batch · heads, rows, keys], which isn't freed. */
  add(dScores: Tensor): void {
    const { ops, batch } = this;
    const size = dScores.shape.reduce((product, extent) => product * extent, 1);
    const wide = ops.cast(dScores, 'f32');
    const flat = thenFree(ops, ops.reshape(wide, [batch, size / batch]), wide);
    const own = thenFree(ops, columnSums(ops, flat), flat);
    this.sum = this.sum ? sumAndFree(ops, [this.sum, own]) : own;
  }

  /** What was added, which is the caller's now; null: nothing. */
  take(): Tensor | null {
    const { sum } = this;
    this.sum = null;
    return sum;
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
