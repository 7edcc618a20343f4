import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { readImageFolder } from '../../../../src/data/images/folder';
import { preprocess, readPreprocessor } from '../../../../src/data/images/preprocessor';
import { SafetensorsFile } from '../../../../src/formats/safetensors/read';
import { LoraError } from '../../../../src/shared/errors';

const folder = path.resolve(import.meta.dirname, '../../../fixtures/images');
const expected = await SafetensorsFile.open(path.join(folder, 'expected.safetensors'), 'usage');
const decoded = (name: string) => decodeImage(readFileSync(path.join(folder, name)), name);
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
const temp = () => mkdtempSync(path.join(tmpdir(), 'images-'));

describe('decoding an image', () => {
  it.each([
    'rgb.png',
    'grey.png',
    'alpha.png',
    'palette.png',
    'palette4.png',
    'bits.png',
    'photo.jpg',
    'grey.jpg',
    'progressive.jpg',
    'subsampled.jpg',
  ])('matches Pillow for %s', async (name) => {
    const { width, height, data } = decoded(name);
    expect([height, width, 3]).toEqual(expected.tensors.get(`rgb.${name}`)!.shape);
    expect([...data]).toEqual([...(await expected.readInts(`rgb.${name}`))]);
  });

  it('rejects an image that is invalid, truncated or oversized', () => {
    const png = readFileSync(path.join(folder, 'rgb.png'));
    const huge = Buffer.from(png);
    huge.writeUInt32BE(0x7fffffff, 16);
    const jpeg = readFileSync(path.join(folder, 'photo.jpg'));
    for (const [bytes, words] of [
      [Buffer.from('GIF89a'), /neither a PNG nor a JPEG/],
      [png.subarray(0, 300), /cannot be read/],
      [png.subarray(0, 10), /no size/],
      [huge, /million pixels/],
      [jpeg.subarray(0, 100), /cannot be read/],
    ] as const) {
      expect(() => decodeImage(bytes, 'x.png')).toThrow(words);
      expect(() => decodeImage(bytes, 'x.png')).toThrow(LoraError);
    }
  });
});

describe('image preprocessing', () => {
  const settings = JSON.parse(
    readFileSync(path.join(folder, 'preprocessors.json'), 'utf8'),
  ) as Record<string, object>;

  it.each(Object.keys(settings))('matches Pillow and NumPy for %s', async (name) => {
    const base = temp();
    writeFileSync(path.join(base, 'preprocessor_config.json'), JSON.stringify(settings[name]));
    const [, height, width] = expected.tensors.get(`pixels.${name}`)!.shape;
    const pixels = preprocess(decoded('rgb.png'), await readPreprocessor(base, [height!, width!]));
    expect(largest(pixels, await expected.readF32(`pixels.${name}`))).toBeLessThan(2e-6);
  });

  it('rejects an unsupported setting and names its key', async () => {
    const base = temp();
    const of = (config: object) => {
      writeFileSync(path.join(base, 'preprocessor_config.json'), JSON.stringify(config));
      return readPreprocessor(base, [24, 24]).catch((error: unknown) => error as LoraError);
    };
    expect(await of({ size: 32 })).toMatchObject({ place: { key: 'size' } });
    expect(await of({ size: -1 })).toMatchObject({ area: 'base', place: { key: 'size' } });
    expect(await of({ image_std: [0, 1, 1] })).toMatchObject({ place: { key: 'image_std' } });
    expect(await of({ resample: 9 })).toMatchObject({ place: { key: 'resample' } });
  });
});

describe('an image folder', () => {
  it('has one class per subfolder and reports other files', async () => {
    const root = temp();
    for (const [at, file] of [
      ['b', 'rgb.png'],
      ['a', 'photo.jpg'],
      ['a', 'grey.jpg'],
    ] as const) {
      mkdirSync(path.join(root, at), { recursive: true });
      writeFileSync(path.join(root, at, file), readFileSync(path.join(folder, file)));
    }
    writeFileSync(path.join(root, 'a', 'notes.txt'), '');
    const { rows, problems, fingerprint } = await readImageFolder(root);
    expect(rows.map((row) => [row.label, path.basename(row.file)])).toEqual([
      ['a', 'grey.jpg'],
      ['a', 'photo.jpg'],
      ['b', 'rgb.png'],
    ]);
    expect(problems.map((p) => p.message)).toEqual([
      'One file is neither PNG nor JPEG and skipped.',
    ]);
    writeFileSync(path.join(root, 'b', 'more.png'), '');
    expect((await readImageFolder(root)).fingerprint.sha256).not.toBe(fingerprint.sha256);
  });

  it('rejects a folder without images', async () => {
    await expect(readImageFolder(temp())).rejects.toThrow(/it has no folders/);
    await expect(readImageFolder(path.join(temp(), 'gone'))).rejects.toMatchObject({
      area: 'dataset',
    });
  });
});
