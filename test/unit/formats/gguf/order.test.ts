import { describe, expect, it } from 'vitest';
import type { GgufStorage } from '../../../../src/formats/gguf/family';
import { toCheckpointOrder, toGgufOrder } from '../../../../src/formats/gguf/order';

interface Case {
  readonly storage: GgufStorage;
  readonly shape: readonly number[];
  readonly head_dim: number;
  readonly checkpoint: readonly number[];
  readonly gguf: readonly number[];
}

/** Rows of two values: 10 r and 10 r + 1 for each row r. */
const rows = (...order: number[]) => order.flatMap((row) => [10 * row, 10 * row + 1]);

const CASES: readonly Case[] = [
  { storage: 'plain', shape: [2, 2], head_dim: 2, checkpoint: rows(0, 1), gguf: rows(0, 1) },
  { storage: 'plus_one', shape: [3], head_dim: 2, checkpoint: [-1, 0, 2], gguf: [0, 1, 3] },
  {
    // Two heads of four rows: each head's halves are interleaved.
    storage: 'rotary',
    shape: [8, 2],
    head_dim: 4,
    checkpoint: rows(0, 1, 2, 3, 4, 5, 6, 7),
    gguf: rows(0, 2, 1, 3, 4, 6, 5, 7),
  },
  {
    // Two heads of two rows: query, key and value of each, or all queries, all keys, all values.
    storage: 'by_part',
    shape: [12, 2],
    head_dim: 2,
    checkpoint: rows(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    gguf: rows(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11),
  },
  {
    // The checkpoint's shape is [in, out].
    storage: 'transposed',
    shape: [2, 3],
    head_dim: 2,
    checkpoint: [1, 2, 3, 4, 5, 6],
    gguf: [1, 4, 2, 5, 3, 6],
  },
];

describe.each(CASES)('data in $storage order', ({ storage, shape, head_dim, checkpoint, gguf }) => {
  const stored = Float32Array.from(gguf);
  const original = Float32Array.from(checkpoint);

  it('is read in checkpoint order', () => {
    expect(toCheckpointOrder(stored, storage, { shape, head_dim })).toEqual(original);
    expect(stored).toEqual(Float32Array.from(gguf));
    const target = new Float32Array(gguf.length);
    expect(toCheckpointOrder(stored, storage, { shape, head_dim }, target)).toBe(target);
    expect(target).toEqual(original);
  });

  it('is written in GGUF order', () => {
    const written = toGgufOrder(original, storage, { shape, head_dim });
    expect(written).toEqual(stored);
    expect(original).toEqual(Float32Array.from(checkpoint));
    expect(written === original).toBe(storage === 'plain');
  });
});
