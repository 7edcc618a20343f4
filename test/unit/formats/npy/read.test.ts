import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MOST_HEADER_BYTES, readNpyHeader } from '../../../../src/formats/npy/header';
import { openNpy } from '../../../../src/formats/npy/read';

const FOLDER = path.resolve(import.meta.dirname, '../../../fixtures/npy');
const EXPECTED = JSON.parse(readFileSync(path.join(FOLDER, 'expected.json'), 'utf8')) as Readonly<
  Record<string, { readonly shape: readonly number[]; readonly numbers: readonly number[] }>
>;

const fileOf = (name: string) => readFileSync(path.join(FOLDER, `${name}.npy`));

const open = (bytes: Uint8Array) =>
  openNpy(
    {
      ...{ place: { file: 'x.npy' }, size: bytes.length },
      head: (count) => Promise.resolve(bytes.subarray(0, count)),
      from: (start) => Promise.resolve(Uint8Array.from(bytes.subarray(start))),
    },
    MOST_HEADER_BYTES,
  );

it.each(Object.keys(EXPECTED))('reads what NumPy has written: %s', async (name) => {
  const { shape, numbers } = await open(fileOf(name));
  expect({ shape, numbers: Array.from(await numbers(), Number) }).toEqual(EXPECTED[name]);
});

it.each([
  ['big_endian', /holds numbers in big-endian order \('>f4'\)/],
  ['pickled', /holds pickled objects, which are not read because they can run code/],
  ['texts', /holds texts \('<U3'\)/],
  ['bytes', /holds texts \('\|S3'\)/],
  ['complex', /holds complex numbers/],
  ['times', /holds times/],
  ['records', /holds records of several fields/],
  ['long_double', /type '<f16' is not supported/],
])('names what it does not read: %s', async (name, reason) => {
  await expect(open(fileOf(name))).rejects.toMatchObject({
    area: 'dataset',
    message: expect.stringMatching(reason) as string,
    fix: expect.stringContaining('astype') as string,
  });
});

/** A file with a header of this text. */
function withHeader(text: string, length = text.length, version = 1): Uint8Array {
  const start = Buffer.from(`\x93NUMPY\0\0${version === 1 ? '\0\0' : '\0\0\0\0'}`, 'latin1');
  start[6] = version;
  if (version === 1) start.writeUInt16LE(length, 8);
  else start.writeUInt32LE(length, 8);
  return Buffer.concat([start, Buffer.from(text), Buffer.alloc(8)]);
}

describe('a hostile header', () => {
  const dict = (shape: string, descr = "'<f4'", order = 'False') =>
    `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;

  it.each([
    ['that is none', Buffer.from('not an array'), /not an array of NumPy/],
    ['of a new version', withHeader(dict('(2,)'), undefined, 9), /version 9/],
    ['longer than the file', withHeader(dict('(2,)'), 60_000), /header of 60000 bytes/],
    ['of 4 GiB', withHeader(dict('(2,)'), 2 ** 32 - 1, 2), /header of 4294967295 bytes/],
    ['with code', withHeader("__import__('os').system('x')"), /not as NumPy writes it/],
    ['with a key twice', withHeader(dict("(2,), 'shape': (3,)")), /not as NumPy writes it/],
    ['with another key', withHeader(dict("(2,), 'x': True")), /not as NumPy writes it/],
    ['without a shape', withHeader("{'descr': '<f4', 'fortran_order': False}"), /not as NumPy/],
    ['with an order that is none', withHeader(dict('(2,)', "'<f4'", "'C'")), /not as NumPy/],
    ['with too many sides', withHeader(dict(`(${'1,'.repeat(65)})`)), /shape .* is not one/],
    ['with too large sides', withHeader(dict('(9007199254740993,)')), /shape .* is not one/],
    ['whose sides overflow', withHeader(dict('(4294967296, 4294967296)')), /shape .* is not one/],
    [
      'of another size',
      withHeader(dict('(3,)')),
      /8 bytes of numbers, but its shape \(3\) takes 12/,
    ],
  ])('%s is refused', async (_, bytes, reason) => {
    await expect(open(bytes)).rejects.toThrow(reason);
  });

  it('takes no time', () => {
    const text = `{${"'a': (1,), ".repeat(6000)}`;
    const start = performance.now();
    expect(() => readNpyHeader(withHeader(text.slice(0, 65_000)), { file: 'x.npy' })).toThrow(
      /as NumPy/,
    );
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('may have its keys in any order', async () => {
    const { shape } = await open(
      withHeader("{'shape': (2,), 'descr': '<f4', 'fortran_order': False}\n"),
    );
    expect(shape).toEqual([2]);
  });
});
