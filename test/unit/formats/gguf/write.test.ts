import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ggufBytesOf, writeGguf } from '../../../../src/formats/gguf/write';
import { ggufBytes } from '../../../support/ggufWriter';
import { temp } from '../../../support/temp';

const TENSORS = [
  { name: 'first', dtype: 'F32' as const, shape: [3, 1], data: Float32Array.of(1, 2, 3) },
  { name: 'second', dtype: 'F32' as const, shape: [8], data: new Float32Array(8).fill(4) },
];

describe('a written GGUF file', () => {
  it('has its values and its tensors at multiples of 32', async () => {
    const file = path.join(temp(), 'x.gguf');
    const u32 = Buffer.from([4, 0, 0, 0, 7, 0, 0, 0]);
    const sha256 = await writeGguf(
      file,
      [
        { key: 'text', type: 'string', value: 'é' },
        { key: 'count', type: 'u32', value: 3_000_000_000 },
        { key: 'alpha', type: 'f32', value: 0.1 },
        { key: 'copied', type: 'bytes', value: u32 },
      ],
      TENSORS,
    );
    const bytes = readFileSync(file);
    const expected = ggufBytes(
      [
        ['text', { text: 'é' }],
        ['count', { u32: 3_000_000_000 }],
        ['alpha', { f32: 0.1 }],
        ['copied', { u32: 7 }],
      ],
      TENSORS,
    );
    expect(bytes.equals(expected)).toBe(true);
    expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('may have another alignment', async () => {
    const file = path.join(temp(), 'x.gguf');
    await writeGguf(file, [], TENSORS, 4);
    const bytes = readFileSync(file);
    const header = 24 + (8 + 5 + 4 + 16 + 4 + 8) + (8 + 6 + 4 + 8 + 4 + 8);
    expect(bytes.readBigUInt64LE(header - 8)).toBe(12n);
    expect(bytes).toHaveLength(Math.ceil(header / 4) * 4 + 12 + 32);
  });
});

describe('the bytes of a tensor', () => {
  it('are those of its blocks', () => {
    expect(ggufBytesOf({ name: 'a', dtype: 'F16', shape: [2, 3] })).toBe(12);
    expect(ggufBytesOf({ name: 'a', dtype: 'F32', shape: [] })).toBe(4);
    expect(ggufBytesOf({ name: 'a', dtype: 'Q8_0', shape: [3, 64] })).toBe(204);
  });

  it('need a type that GGUF has, and rows of whole blocks', () => {
    expect(() => ggufBytesOf({ name: 'a', dtype: 'Q8_0', shape: [64, 3] })).toThrow(
      new RangeError('a: rows of 3 are not whole blocks of 32'),
    );
    expect(() => ggufBytesOf({ name: 'a', dtype: 'BOOL', shape: [1] })).toThrow(
      new RangeError('GGUF has no type BOOL'),
    );
  });
});
