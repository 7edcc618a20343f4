import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readFeatures } from '../../../../src/data/features/readFeatures';
import { temp } from '../../../support/temp';

const FOLDER = path.resolve(import.meta.dirname, '../../../fixtures/npy');
const fixture = (name: string) => path.join(FOLDER, name);

const read = (file: string, label = 'label') =>
  readFeatures(file, { label, width: 3, columns: null, collector: { skip: false } });

const VALUES = Array.from({ length: 4 }, (_, row) => [0, 1, 2].map((i) => (3 * row + i) / 8));

it.each([
  ['classes.npz', 'label', [0, 1, 1, 0]],
  ['targets.npz', 'label', [0, 1, 2, 3].map((row) => [row, row + 0.5])],
  ['train_features.npy', 'label', [0, 1, 1, 0]],
  ['train_features.npy', 'train_labels.npy', [0, 1, 1, 0]],
])('reads the rows of %s with the labels of %s', async (name, label, labels) => {
  const { rows, columns, problems, fingerprints } = await read(fixture(name), label);
  expect(rows.map(({ values }) => [...values])).toEqual(VALUES);
  expect(rows.map((row) => row.label)).toEqual(labels);
  expect(rows.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
  expect({ columns, problems: problems.problems() }).toEqual({ columns: null, problems: [] });
  const files = name.endsWith('.npz') ? [name] : [name, 'train_labels.npy'];
  expect(fingerprints.map(({ file }) => path.basename(file))).toEqual(files);
  expect(fingerprints.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
});

describe('an array of labels', () => {
  it.each([
    ['f4.npy', 'label', /not known which file has the labels/],
    ['f4.npy', '../secret.npy', /not known which file has the labels/],
    ['f4.npy', 'f4.npy', /not known which file has the labels/],
    ['train_features.npy', 'missing.npy', /missing\.npy|cannot be read/],
    ['train_features.npy', 'f4.npy', /labels have the shape \[2, 3, 4\], but there are 4 rows/],
    ['train_features.npy', 'pickled.npy', /pickled objects/],
    ['only_features.npz', 'label', /no tensor labels/],
  ])('is refused: %s, %s', async (name, label, reason) => {
    await expect(read(fixture(name), label)).rejects.toThrow(reason);
  });
});

it.each([
  [[2 ** 22 + 1, 3], [2 ** 22 + 1], /The features have 4194305 rows, more than 4194304/],
  [[10, 3], [10, 2 ** 23], /The labels are 83886080 numbers, more than 67108864/],
])('refuses more than memory holds: %j with labels %j', async (features, labels, reason) => {
  const folder = temp();
  for (const [name, shape] of Object.entries({ features, labels })) {
    const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
    const text = `\x93NUMPY\x01\x00\x76\x00${header.padEnd(117)}\n`;
    const file = path.join(folder, `${name}.npy`);
    writeFileSync(file, Buffer.from(text, 'latin1'));
    truncateSync(file, text.length + shape.reduce((a, b) => a * b));
  }
  await expect(read(path.join(folder, 'features.npy'))).rejects.toThrow(reason);
});

describe('a damaged archive', () => {
  const damaged = async (name: string, change: (bytes: Buffer) => Buffer) => {
    const file = path.join(temp(), 'rows.npz');
    writeFileSync(file, change(readFileSync(fixture(name))));
    return read(file);
  };
  const central = (bytes: Buffer) => bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  const end = (bytes: Buffer) => bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const set =
    (at: (bytes: Buffer) => number, ...values: readonly number[]) =>
    (bytes: Buffer) => {
      bytes.set(values, at(bytes));
      return bytes;
    };
  const all = [0xff, 0xff, 0xff, 0xff] as const;

  it.each([
    ['classes.npz', 'cut', (bytes: Buffer) => bytes.subarray(0, 200), /not an archive of NumPy/],
    ['classes.npz', 'too many', set((b) => end(b) + 10, 9, 0), /directory ends early/],
    ['classes.npz', 'larger', set((b) => end(b) + 16, ...all), /larger than 4 GiB/],
    ['classes.npz', 'too far', set((b) => end(b) + 16, 0xff, 0xff, 0xff, 0x7f), /are missing/],
    ['classes.npz', 'large directory', set((b) => end(b) + 12, 0, 0, 0, 0x40), /too large/],
    ['classes.npz', 'method', set((b) => central(b) + 10, 12), /packed in a way/],
    ['classes.npz', 'encrypted', set((b) => central(b) + 8, 1), /encrypted/],
    ['classes.npz', 'large array', set((b) => central(b) + 24, ...all), /larger than 4 GiB/],
    ['classes.npz', 'place', set((b) => central(b) + 42, 9), /not where it says/],
    ['classes.npz', 'sizes', set((b) => central(b) + 20, 9), /sizes of an array differ/],
    ['classes.npz', 'checksum', set((b) => central(b) + 16, 1, 2, 3, 4), /checksum/],
    ['targets.npz', 'checksum', set((b) => central(b) + 16, 1, 2, 3, 4), /checksum/],
    [
      'targets.npz',
      'packed',
      set((b) => central(b) - 40, ...all, ...all),
      /unpacked|checksum|early|header/,
    ],
  ] as const)('%s is refused: %s', async (name, _, change, reason) => {
    await expect(damaged(name, change)).rejects.toThrow(reason);
  });

  it('that promises more than it has is refused without unpacking it', async () => {
    const more = set((b) => central(b) + 24, 0xff, 0xff, 0xff, 0x7f);
    await expect(damaged('targets.npz', more)).rejects.toThrow(/an array ends early/);
  });
});

it('follows the names of the features to those of the labels', async () => {
  const folder = temp();
  copyFileSync(fixture('train_features.npy'), path.join(folder, 'Features.npy'));
  copyFileSync(fixture('train_labels.npy'), path.join(folder, 'labels.npy'));
  expect((await read(path.join(folder, 'Features.npy'))).rows).toHaveLength(4);
});
