import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerLength, parseHeader } from '../../../../src/formats/safetensors/header';
import { SafetensorsFile, withSafetensors } from '../../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import { readLate, type TensorToWrite } from '../../../../src/formats/tensorWriter';
import { LoraError } from '../../../../src/shared/errors';
import { temp } from '../../../support/temp';

const fixture = path.resolve(
  import.meta.dirname,
  '../../../fixtures/llama/embed-tied/adapter/adapter_model.safetensors',
);

describe('safetensors', () => {
  it("reproduces PEFT's file byte for byte", async () => {
    const copy = path.join(temp(), 'copy.safetensors');
    const tensors = await withSafetensors(fixture, async (source) => {
      const all: TensorToWrite[] = [];
      for (const { name, dtype, shape } of source.tensors.values())
        all.push({ name, dtype, shape, data: await source.readBytes(name) });
      return all.reverse();
    });
    await writeSafetensors(copy, tensors);
    expect(readFileSync(copy).equals(readFileSync(fixture))).toBe(true);
    expect(readdirSync(path.dirname(copy))).toEqual(['copy.safetensors']);
  });

  it('reads back what was written', async () => {
    const tensor = fc.record({
      name: fc.string({ minLength: 1 }).filter((n) => !n.startsWith('__')),
      values: fc.array(fc.float({ noNaN: true })),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(tensor, { selector: (t) => t.name }), async (tensors) => {
        const file = path.join(temp(), 'x.safetensors');
        await writeSafetensors(
          file,
          tensors.map(({ name, values }) => ({
            name,
            dtype: 'F32',
            shape: [values.length],
            data: Float32Array.from(values),
          })),
        );
        await withSafetensors(file, async (source) => {
          expect(source.tensors.size).toBe(tensors.length);
          for (const { name, values } of tensors)
            expect([...(await source.readF32(name))]).toEqual(values);
        });
      }),
      { numRuns: 30 },
    );
  });

  it('gives a header or a LoraError for arbitrary bytes', async () => {
    const original = readFileSync(fixture);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 8 }),
        fc.nat(original.length),
        async (changes, length) => {
          const bytes = Buffer.from(original.subarray(0, length));
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const file = path.join(temp(), 'x.safetensors');
          writeFileSync(file, bytes);
          const result = await SafetensorsFile.open(file).then(
            (opened) => opened.close(),
            (error: unknown) => error,
          );
          if (result !== undefined) expect(result).toBeInstanceOf(LoraError);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('rejects lengths beyond the file size', () => {
    const prefix = new Uint8Array(8).fill(255);
    expect(() => headerLength(prefix, { file: 'f', size: 1000, area: 'base' })).toThrow(/claims/);
    expect(() =>
      parseHeader('{"a":{"dtype":"F32","shape":[9007199254740991,2],"data_offsets":[0,8]}}', 80, {
        file: 'f',
        size: 88,
        area: 'base',
      }),
    ).toThrow(LoraError);
  });

  it('leaves no file behind if writing fails', async () => {
    const folder = temp();
    await expect(
      writeSafetensors(path.join(folder, 'missing', 'x.safetensors'), []),
    ).rejects.toThrow(/could not be written/);
    const torn = () => readLate(() => Promise.reject(new Error('torn')));
    await expect(
      writeSafetensors(path.join(folder, 'x.safetensors'), [
        { name: 'a', dtype: 'F32', shape: [2], data: torn },
      ]),
    ).rejects.toThrow(/torn/);
    await expect(
      writeSafetensors(path.join(folder, 'x.safetensors'), [
        { name: 'a', dtype: 'F32', shape: [2], data: new Float32Array(3) },
      ]),
    ).rejects.toThrow(/its data has 12 bytes instead of 8/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('orders tensors by dtype size and name, as the library does, and loads each only when it is written', async () => {
    const file = path.join(temp(), 'x.safetensors');
    const asked: string[] = [];
    const dtypes = [
      ['U64', 8],
      ['I64', 8],
      ['F64', 8],
      ['F32', 4],
      ['U32', 4],
      ['I32', 4],
      ['BF16', 2],
      ['F16', 2],
      ['U16', 2],
      ['I16', 2],
      ['F8_E4M3', 1],
      ['F8_E5M2', 1],
      ['I8', 1],
      ['U8', 1],
      ['BOOL', 1],
    ] as const;
    const tensors = dtypes.flatMap(([dtype, bytes]) =>
      ['2', '10', 'a'].map((name): TensorToWrite => ({
        name: `${name}.${dtype}`,
        dtype,
        shape: [3],
        data: async function* () {
          asked.push(`${name}.${dtype}`);
          yield await Promise.resolve(new Uint8Array(bytes));
          yield new Uint8Array(2 * bytes);
        },
      })),
    );
    await writeSafetensors(file, tensors.toReversed(), {});
    const expected = dtypes.flatMap(([dtype]) =>
      ['10', '2', 'a'].map((name) => `${name}.${dtype}`),
    );
    expect(asked).toEqual(expected);
    await withSafetensors(file, (source) => {
      expect([...source.tensors.keys()]).toEqual(expected);
      return Promise.resolve();
    });
    expect(readFileSync(file).readBigUInt64LE(0) % 8n).toBe(0n);
  });

  it('reads tensors beyond 4 GiB', async () => {
    const file = path.join(temp(), 'large.safetensors');
    const zeros = 5 * 2 ** 30;
    const header = Buffer.from(
      JSON.stringify({
        a: { dtype: 'U8', shape: [zeros], data_offsets: [0, zeros] },
        b: { dtype: 'F32', shape: [2], data_offsets: [zeros, zeros + 8] },
      }),
    );
    const handle = await open(file, 'w');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    await handle.write(Buffer.concat([length, header]), 0, header.length + 8, 0);
    await handle.write(
      Buffer.from(Float32Array.of(1.5, -2).buffer),
      0,
      8,
      8 + header.length + zeros,
    ); // a sparse file
    await handle.close();
    try {
      expect([...(await withSafetensors(file, (source) => source.readF32('b')))]).toEqual([
        1.5, -2,
      ]);
    } finally {
      rmSync(file);
    }
  });

  it('rejects duplicate names, also with escapes', () => {
    const entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    const parse = (text: string) => parseHeader(text, 8, { file: 'f', size: 8, area: 'base' });
    expect(parse(`{"a" : ${entry}, "b":${entry}}`).tensors.size).toBe(2);
    for (const second of ['"a"', '"\\u0061"', `"a"${' '.repeat(40)}`])
      expect(() => parse(`{"a":${entry},${second}:${entry}}`)).toThrow(/twice/);
    expect(() => parse(`{"__proto__":${entry}}`)).toThrow(/__proto__/);
    expect(() => parse(`{"a":{"dtype":"constructor","shape":[0],"data_offsets":[0,0]}}`)).toThrow(
      /is unknown/,
    );
    expect(() => parse(`{"__metadata__":{"a":1}}`)).toThrow(/map of strings/);
  });

  it('distinguishes integers from weights', async () => {
    const file = path.join(temp(), 'x.safetensors');
    await writeSafetensors(file, [
      { name: 'ids', dtype: 'I64', shape: [2], data: BigInt64Array.of(5n, -100n) },
      { name: 'w', dtype: 'BF16', shape: [1], data: Uint16Array.of(0x3fc0) },
      { name: 'd', dtype: 'F64', shape: [1], data: Float64Array.of(0.5) },
    ]);
    await withSafetensors(
      file,
      async (source) => {
        expect([...(await source.readInts('ids'))]).toEqual([5, -100]);
        expect([...(await source.readF32('w')), ...(await source.readF32('d'))]).toEqual([
          1.5, 0.5,
        ]);
        await expect(source.readF32('ids')).rejects.toMatchObject({
          area: 'base',
          place: { file, tensor: 'ids' },
        });
        await expect(source.readInts('w')).rejects.toThrow(/do not hold integers/);
        await expect(source.readF32('none')).rejects.toThrow(/not in the file/);
      },
      'base',
    );
  });
});
