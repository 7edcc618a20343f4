import { describe, expect, it } from 'vitest';
import { blocksOfTensor, rowsInTurn } from '../../../../src/formats/gguf/blocks';
import { dequantise } from '../../../../src/formats/gguf/dequantise';
import type { GgufStorage } from '../../../../src/formats/gguf/family';
import type { GgufTensor } from '../../../../src/formats/gguf/header';
import { toGgufOrder } from '../../../../src/formats/gguf/order';
import { toQ8_0 } from '../../../../src/formats/gguf/quantise';
import type { GgufSource } from '../../../../src/formats/gguf/read';
import type { StoredMatrix } from '../../../../src/formats/weightSource';
import { createRandom } from '../../../../src/shared/random';

const WIDTH = 128;
const values = { key_heads: 2, value_heads: 4, value_dim: 32 };

function matrix(rows: number, seed: number): Float32Array {
  const random = createRandom(seed, 'convert');
  return Float32Array.from({ length: rows * WIDTH }, () => random() - 0.5);
}

/** A Q8_0 tensor of a file, with rows before it that belong to others. */
function blocksIn(data: Float32Array, storage: GgufStorage, before: number): StoredMatrix {
  const shape = [data.length / WIDTH, WIDTH];
  const stored = toQ8_0(toGgufOrder(data, storage, { shape, head_dim: 32, values }));
  const row_bytes = (WIDTH / 32) * 34;
  const all = new Uint8Array(before * row_bytes + stored.length);
  all.set(stored, before * row_bytes);
  const tensor: GgufTensor = { name: 'x', dtype: 'Q8_0', shape, start: 0, end: all.length };
  const source = {
    file: 'a.gguf',
    readTensorBytes: (_: GgufTensor, from: number, length: number) =>
      Promise.resolve(all.slice(from, from + length)),
  } as unknown as GgufSource;
  const layout = { shape, head_dim: 32, values };
  return blocksOfTensor(source, { tensor, first: before, storage, layout })!;
}

async function valuesOf(blocks: StoredMatrix, rows: number, order: Int32Array | null) {
  const words = Math.ceil(blocks.row_bytes / 4);
  const count = order?.length ?? rows;
  const data = new Int32Array(count * words);
  await blocks.read({ data, words, order });
  const bytes = new Uint8Array(data.buffer);
  const result = new Float32Array(count * WIDTH);
  for (let row = 0; row < count; row++) {
    const own = bytes.slice(row * words * 4, row * words * 4 + blocks.row_bytes);
    dequantise('Q8_0', own, result.subarray(row * WIDTH, (row + 1) * WIDTH));
  }
  return result;
}

/** What Q8_0 makes of a matrix. */
function rounded(data: Float32Array): Float32Array {
  const result = new Float32Array(data.length);
  dequantise('Q8_0', toQ8_0(data), result);
  return result;
}

describe('the blocks of a matrix', () => {
  it.each<[GgufStorage, number, number]>([
    ['plain', 6, 0],
    ['plain', 6, 3],
    ['value_heads', 160, 0],
    ['value_numbers', 4, 0],
    ['value_columns', 5, 0],
  ])('stored as %s are read in the order of the checkpoint', async (storage, rows, before) => {
    const data = matrix(rows, rows);
    const blocks = blocksIn(data, storage, before);
    expect(await valuesOf(blocks, rows, null)).toEqual(rounded(data));
    const order = Int32Array.from([rows - 1, 0, 2]);
    const want = Float32Array.from([...order].flatMap((row) => [...rowOf(rounded(data), row)]));
    expect(await valuesOf(blocks, rows, order)).toEqual(want);
  });

  it('are none where the order would divide blocks', () => {
    const layout = { shape: [4, WIDTH], head_dim: 32, values: { ...values, value_dim: 16 } };
    const tensor: GgufTensor = { name: 'x', dtype: 'Q8_0', shape: [4, WIDTH], start: 0, end: 1 };
    const source = {} as unknown as GgufSource;
    for (const storage of ['value_columns', 'value_channels', 'plus_one', 'transposed'] as const)
      expect(blocksOfTensor(source, { tensor, first: 0, storage, layout })).toBeNull();
  });

  it('of two matrices are rows in turn', async () => {
    const [gate, up] = [matrix(3, 1), matrix(3, 2)];
    const both = rowsInTurn([blocksIn(gate, 'plain', 0), blocksIn(up, 'plain', 1)])!;
    const want = [0, 1, 2].flatMap((row) => [
      ...rowOf(rounded(gate), row),
      ...rowOf(rounded(up), row),
    ]);
    expect([...(await valuesOf(both, 6, null))]).toEqual(want);
    const order = Int32Array.from([5, 0, 3]);
    const some = [...order].flatMap((row) => want.slice(row * WIDTH, (row + 1) * WIDTH));
    expect([...(await valuesOf(both, 6, order))]).toEqual(some);
    const other = { ...blocksIn(up, 'plain', 0), type: 2 };
    expect(rowsInTurn([blocksIn(gate, 'plain', 0), other])).toBeNull();
    expect(rowsInTurn([blocksIn(gate, 'plain', 0), null])).toBeNull();
  });
});

const rowOf = (data: Float32Array, row: number): Float32Array =>
  data.subarray(row * WIDTH, (row + 1) * WIDTH);
