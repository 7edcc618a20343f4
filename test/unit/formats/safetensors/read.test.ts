import { writeFileSync } from 'node:fs';
import type * as promises from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { SafetensorsFile, withSafetensors } from '../../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { DType } from '../../../../src/formats/tensorInfo';
import { temp } from '../../../support/temp';

/** All file handles that were opened; a closed one has the descriptor -1. */
const handles = vi.hoisted((): promises.FileHandle[] => []);
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof promises>();
  const open: typeof real.open = async (...args) => {
    const handle = await real.open(...args);
    handles.push(handle);
    return handle;
  };
  return { ...real, open };
});

/** Exact in f32, bf16 and f16. */
const VALUES = [1.5, -2, 0.25];
const STORED: readonly (readonly [DType, ArrayBufferView])[] = [
  ['F32', Float32Array.from(VALUES)],
  ['F64', Float64Array.from(VALUES)],
  ['BF16', Uint16Array.of(0x3fc0, 0xc000, 0x3e80)],
  ['F16', Uint16Array.of(0x3e00, 0xc000, 0x3400)],
];
const INTEGERS: readonly (readonly [DType, ArrayBufferView])[] = [
  ['I64', BigInt64Array.of(-3n, 100n)],
  ['I32', Int32Array.of(-3, 100)],
  ['I16', Int16Array.of(-3, 100)],
  ['I8', Int8Array.of(-3, 100)],
];

/** A file of tensors named by their dtypes, after one of zeros, so that none starts at 0. */
async function fileOf(tensors: readonly (readonly [DType, ArrayBufferView])[]): Promise<string> {
  const file = path.join(temp(), 'x.safetensors');
  const first = { name: 'first', dtype: 'U64' as const, shape: [1], data: new Uint8Array(8) };
  const rest = tensors.map(([dtype, data]) => ({
    name: dtype,
    dtype,
    shape: [(data as unknown as ArrayLike<unknown>).length],
    data,
  }));
  await writeSafetensors(file, [first, ...rest]);
  return file;
}

describe('weights', () => {
  it.each(STORED)('are read as f32 from %s', async (dtype, data) => {
    const file = await fileOf([[dtype, data]]);
    await withSafetensors(file, async (source) => {
      expect([...(await source.readF32(dtype))]).toEqual(VALUES);
      const target = new Float32Array(5).fill(9);
      const part = target.subarray(1, 4);
      expect(await source.readF32(dtype, part)).toBe(part);
      expect([...target]).toEqual([9, ...VALUES, 9]);
    });
  });

  it.each(STORED)('are read as bf16 from %s', async (dtype, data) => {
    const file = await fileOf([[dtype, data]]);
    const expected = [0x3fc0, 0xc000, 0x3e80];
    await withSafetensors(file, async (source) => {
      expect([...(await source.readBF16(dtype))]).toEqual(expected);
      const target = new Uint16Array(5).fill(9);
      const part = target.subarray(1, 4);
      expect(await source.readBF16(dtype, part)).toBe(part);
      expect([...target]).toEqual([9, ...expected, 9]);
    });
  });

  it('are converted to bf16 part by part', async () => {
    const values = new Float64Array((1 << 20) + 3);
    values.set(VALUES, (1 << 20) - 1);
    const file = await fileOf([['F64', values]]);
    await withSafetensors(file, async (source) => {
      const bits = await source.readBF16('F64');
      expect(bits).toHaveLength(values.length);
      expect([...bits.subarray((1 << 20) - 2)]).toEqual([0, 0x3fc0, 0xc000, 0x3e80, 0]);
    });
  });

  it('are rejected if they are integers', async () => {
    const file = await fileOf([['I32', Int32Array.of(1)]]);
    const expected = {
      area: 'adapter',
      message: 'Tensors of type I32 cannot be used as weights.',
      fix: 'Save it again with one of: F32, BF16, F16, F64.',
      place: { file, tensor: 'I32' },
    };
    await withSafetensors(file, async (source) => {
      await expect(source.readF32('I32')).rejects.toMatchObject(expected);
      await expect(source.readBF16('I32')).rejects.toMatchObject(expected);
    });
  });
});

describe('integers', () => {
  it.each(INTEGERS)('are read with their sign from %s', async (dtype, data) => {
    const file = await fileOf([[dtype, data]]);
    await withSafetensors(file, async (source) => {
      expect(await source.readInts(dtype)).toEqual(Int32Array.of(-3, 100));
    });
  });

  it.each(['U8', 'BOOL'] as const)('are read as unsigned from %s', async (dtype) => {
    const file = await fileOf([[dtype, Uint8Array.of(1, 200)]]);
    await withSafetensors(file, async (source) => {
      expect(await source.readInts(dtype)).toEqual(Int32Array.of(1, 200));
    });
  });

  it('are not read from floats', async () => {
    const file = await fileOf([['F32', Float32Array.of(1)]]);
    await withSafetensors(file, async (source) => {
      const refused = source.readInts('F32');
      await expect(refused).rejects.toThrow('Tensors of type F32 do not hold integers.');
      await expect(refused).rejects.not.toHaveProperty('fix', expect.any(String));
    });
  });
});

describe('bytes', () => {
  it('are those of a tensor, or a slice of them', async () => {
    const file = await fileOf([
      ['U8', Uint8Array.of(1, 2, 3, 4)],
      ['BOOL', Uint8Array.of(0, 1)],
    ]);
    await withSafetensors(file, async (source) => {
      expect(source.file).toBe(file);
      expect(await source.readBytes('U8')).toEqual(Uint8Array.of(1, 2, 3, 4));
      expect(await source.readSlice('U8', 0, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
      expect(await source.readSlice('U8', 1, 2)).toEqual(Uint8Array.of(2, 3));
      expect(await source.readSlice('U8', 4, 0)).toHaveLength(0);
    });
  });

  it('are rejected outside of the tensor', async () => {
    const file = await fileOf([
      ['U8', Uint8Array.of(1, 2, 3, 4)],
      ['BOOL', Uint8Array.of(0, 1)],
    ]);
    await withSafetensors(file, async (source) => {
      await expect(source.readSlice('U8', 1, 4)).rejects.toThrow(
        new RangeError('U8 has no bytes 1 to 5.'),
      );
      await expect(source.readSlice('U8', -1, 2)).rejects.toThrow(
        new RangeError('U8 has no bytes -1 to 1.'),
      );
      await expect(source.readSlice('none', 0, 1)).rejects.toThrow(
        'The tensor is not in the file.',
      );
    });
  });
});

describe('a file', () => {
  it('is closed after use, even if that fails', async () => {
    const file = await fileOf([['F32', Float32Array.of(2)]]);
    const read = (source: SafetensorsFile) => source.readF32('F32');
    expect(await withSafetensors(file, read)).toEqual(Float32Array.of(2));
    expect(handles.at(-1)!.fd).toBe(-1);
    const failing = withSafetensors(file, () => {
      expect(handles.at(-1)!.fd).not.toBe(-1);
      return Promise.reject(new Error('no use'));
    });
    await expect(failing).rejects.toThrow('no use');
    expect(handles.at(-1)!.fd).toBe(-1);
  });

  it('is closed if its header is invalid', async () => {
    const file = path.join(temp(), 'x.safetensors');
    writeFileSync(file, Buffer.alloc(7));
    await expect(SafetensorsFile.open(file)).rejects.toMatchObject({
      area: 'adapter',
      message: 'The safetensors file is damaged: it has 7 bytes, fewer than a header.',
    });
    expect(handles.at(-1)!.fd).toBe(-1);
  });

  it('of 8 bytes is rejected by its header length', async () => {
    const file = path.join(temp(), 'x.safetensors');
    writeFileSync(file, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
    await expect(SafetensorsFile.open(file, 'base')).rejects.toMatchObject({
      area: 'base',
      message: expect.stringContaining('claims 1 byte, but the file has only 8') as string,
    });
  });

  it('has a UTF-8 header without a byte order mark', async () => {
    const file = path.join(temp(), 'x.safetensors');
    const withText = (text: Buffer) => {
      writeFileSync(file, Buffer.concat([Buffer.from([text.length, 0, 0, 0, 0, 0, 0, 0]), text]));
      return withSafetensors(file, (source) => Promise.resolve(source.header.metadata));
    };
    const text = Buffer.from('{"__metadata__":{"é":"ü"}}');
    expect(await withText(text)).toEqual({ é: 'ü' });
    await expect(withText(Buffer.from(`\ufeff${text.toString()}`))).rejects.toThrow(
      'its header is not JSON',
    );
    await expect(withText(Buffer.from([...text.subarray(0, -2), 0xff]))).rejects.toMatchObject({
      message: 'The safetensors file is damaged: its header is not UTF-8.',
      cause: expect.any(TypeError) as Error,
    });
  });
});
