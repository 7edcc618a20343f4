import type { ModelInput } from '../model';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

// Splits rows of tokens into chunks, so that a recurrence is computed by products within each chunk
// and steps from one chunk to the next.

/** Tokens of a chunk, at most. */
const CHUNK_TOKENS = 64;
/** Hides a later token: its exponential is 0. */
const HIDDEN = -1e30;

/** Tokens, and the heads that they are cut into. */
export interface ChunkShape {
  readonly batch: number;
  readonly length: number;
}

/** The chunks of a batch and their masks. c = size, n = chunks; chunk by chunk, then by head. */
export interface Chunks {
  readonly size: number;
  readonly count: number;
  /** x [m, c] times it: the sums of the tokens so far, of each chunk. [c, c] */
  readonly sums: Tensor;
  /** Added to what a token keeps of another one. [c, c] or [n, 1, batch, c, c] */
  readonly causal: Tensor;
  /** 1 for the tokens before. [c, c] */
  readonly before: Tensor;
  /** See `inverseOfUnit`. [c, c] each */
  readonly levels: readonly Tensor[];
  /** 1 on the diagonal. [c, c] */
  readonly unit: Tensor;
  /** Null: a row is one sequence. */
  readonly segments: SegmentMasks | null;
}

/** 1 within one sequence, 0 between two. [n, 1, batch, c, 1], the last [n, 1, batch, 1, 1] */
interface SegmentMasks {
  /** From the state at the chunk's start to its tokens. */
  readonly carried: Tensor;
  /** From its tokens to the state at its end. */
  readonly ending: Tensor;
  readonly whole: Tensor;
}

/** The caller frees the masks by `freeChunks`. */
export function uploadChunks(
  ops: Ops,
  input: Pick<ModelInput, 'batch' | 'length' | 'segment_ids'>,
): Chunks {
  const { length, segment_ids } = input;
  const size = Math.min(CHUNK_TOKENS, 2 ** Math.ceil(Math.log2(length)));
  const count = Math.ceil(length / size);
  const square = (value: (row: number, column: number) => number) =>
    ops.upload(
      Float32Array.from({ length: size * size }, (_, i) => value(Math.floor(i / size), i % size)),
      [size, size],
    );
  const widths = Array.from({ length: Math.log2(size) }, (_, i) => 2 ** i);
  const chunks = { size, count };
  return {
    ...chunks,
    sums: square((row, column) => Number(row <= column)),
    before: square((row, column) => Number(column < row)),
    unit: square((row, column) => Number(column === row)),
    levels: widths.map((width) => square((row, column) => Number(isBelow(row, column, width)))),
    causal: segment_ids
      ? uploadCausal(ops, input, chunks)
      : square((row, column) => (column <= row ? 0 : HIDDEN)),
    segments: segment_ids ? uploadSegments(ops, input, chunks) : null,
  };
}

export function freeChunks(ops: Ops, chunks: Chunks): void {
  const { sums, causal, before, levels, unit, segments } = chunks;
  ops.free(sums, causal, before, unit, ...levels);
  if (segments) ops.free(segments.carried, segments.ending, segments.whole);
}

/** Whether an element is in the lower left quarter of a block of twice the width. */
const isBelow = (row: number, column: number, width: number): boolean =>
  Math.floor(row / (2 * width)) === Math.floor(column / (2 * width)) &&
  Math.floor(row / width) > Math.floor(column / width);

type Rows = Pick<ModelInput, 'batch' | 'length' | 'segment_ids'>;
type Size = Pick<Chunks, 'size' | 'count'>;

/** The segment of a token; those after a row's end are in that of its last token. */
const segmentAt = ({ length, segment_ids }: Rows, row: number, token: number): number =>
  segment_ids![row * length + Math.min(token, length - 1)]!;

function uploadCausal(ops: Ops, input: Rows, { size, count }: Size): Tensor {
  const { batch } = input;
  const mask = new Float32Array(count * batch * size * size);
  let at = 0;
  for (let chunk = 0; chunk < count; chunk++)
    for (let row = 0; row < batch; row++)
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) {
          const [to, from] = [chunk * size + i, chunk * size + j];
          const isSeen = j <= i && segmentAt(input, row, to) === segmentAt(input, row, from);
          mask[at++] = isSeen ? 0 : HIDDEN;
        }
  return ops.upload(mask, [count, 1, batch, size, size]);
}

function uploadSegments(ops: Ops, input: Rows, { size, count }: Size): SegmentMasks {
  const { batch } = input;
  const upload = (tokens: number, value: (row: number, start: number, i: number) => boolean) => {
    const numbers = Array.from({ length: count * batch * tokens }, (_, at) => {
      const chunk = Math.floor(at / (batch * tokens));
      return Number(value(Math.floor(at / tokens) % batch, chunk * size, at % tokens));
    });
    return ops.upload(Float32Array.from(numbers), [count, 1, batch, tokens, 1]);
  };
  const carriedAt = (row: number, start: number) => segmentAt(input, row, Math.max(0, start - 1));
  const endAt = (row: number, start: number) => segmentAt(input, row, start + size - 1);
  return {
    carried: upload(
      size,
      (row, start, i) => segmentAt(input, row, start + i) === carriedAt(row, start),
    ),
    ending: upload(size, (row, start, i) => segmentAt(input, row, start + i) === endAt(row, start)),
    whole: upload(1, (row, start) => carriedAt(row, start) === endAt(row, start)),
  };
}

/** x [batch · length, heads · width] -> [n · heads · batch, c, width], filled up with zeros. */
export function toChunks(
  ops: Ops,
  x: Tensor,
  heads: number,
  { batch, length, size, count }: ChunkShape & Size,
): Tensor {
  const width = x.shape[1]! / heads;
  const rows = ops.reshape(x, [batch, length, heads * width]);
  const missing = count * size - length;
  const filled = missing === 0 ? rows : thenFree(ops, ops.pad(rows, 1, 0, missing), rows);
  const cut = thenFree(ops, ops.reshape(filled, [batch, count, size, heads, width]), filled);
  const moved = thenFree(ops, ops.transpose(cut, [1, 3, 0, 2, 4]), cut);
  return thenFree(ops, ops.reshape(moved, [count * heads * batch, size, width]), moved);
}

/** The inverse of `toChunks`. */
export function fromChunks(
  ops: Ops,
  x: Tensor,
  heads: number,
  { batch, length, size, count }: ChunkShape & Size,
): Tensor {
  const width = x.shape[2]!;
  const cut = ops.reshape(x, [count, heads, batch, size, width]);
  const moved = thenFree(ops, ops.transpose(cut, [2, 0, 3, 1, 4]), cut);
  const filled = thenFree(ops, ops.reshape(moved, [batch, count * size, heads * width]), moved);
  const rows =
    count * size === length
      ? filled
      : thenFree(ops, ops.slice(filled, [0, 0, 0], [batch, length, heads * width]), filled);
  return thenFree(ops, ops.reshape(rows, [batch * length, heads * width]), rows);
}

/** x [n · heads · batch, ...] times, or plus, a mask [n, 1, batch, ...] or one for all. */
export function withMask(ops: Ops, operation: 'add' | 'mul', x: Tensor, mask: Tensor): Tensor {
  if (mask.shape.length === 2) return ops[operation](x, mask);
  const [count, , batch] = mask.shape as [number, number, number];
  const heads = x.shape[0]! / (count * batch);
  const byHead = ops.reshape(x, [count, heads, batch, ...x.shape.slice(1)]);
  const masked = thenFree(ops, ops[operation](byHead, mask), byHead);
  return thenFree(ops, ops.reshape(masked, x.shape), masked);
}

/**
 * The inverse of I + L for the strictly lower L [m, c, c], from that of the blocks on the diagonal
 * to that of blocks of twice their size: X - X L X with L's elements between two blocks. Unlike
 * sums of powers of L it is as accurate as substitution.
 */
export function inverseOfUnit(ops: Ops, L: Tensor, { unit, levels }: Chunks): Tensor {
  const [first, ...others] = levels;
  if (!first) return ops.add(L, unit);
  const between = ops.mul(L, first);
  let inverse = thenFree(ops, ops.sub(unit, between), between);
  for (const level of others) {
    const part = ops.mul(L, level);
    const product = thenFree(ops, ops.batchMatMul(inverse, part), part);
    const change = thenFree(ops, ops.batchMatMul(product, inverse), product);
    inverse = thenFree(ops, ops.sub(inverse, change), inverse, change);
  }
  return inverse;
}
