import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { readImageFolder } from '../../../../src/data/images/folder';
import { openImages } from '../../../../src/data/images/reader';
import type { BaseModel } from '../../../../src/formats/baseModel';

const folder = mkdtempSync(path.join(tmpdir(), 'reader-'));
const png = (channels: number, depth: 8 | 16, ...data: number[]) =>
  Buffer.from(
    encode({
      width: data.length / channels,
      height: 1,
      channels,
      depth,
      data: depth === 8 ? Uint8Array.from(data) : Uint16Array.from(data),
    }),
  );
const patches = (change: object = {}) =>
  ({
    path: folder,
    spec: {
      family: 'vit',
      embedding: {
        kind: 'patches',
        channels: 3,
        image_size: [2, 4],
        patch_size: [1, 2],
        ...change,
      },
    },
  }) as unknown as BaseModel;

describe('the reader of images', () => {
  it('counts patches and the class token, and reads what the model expects', async () => {
    const reader = await openImages(patches());
    expect(reader.length).toBe(5);
    const file = path.join(folder, 'a.png');
    writeFileSync(file, png(3, 8, 255, 0, 255, 255, 0, 255));
    const pixels = await reader.read(file);
    expect(pixels).toHaveLength(24);
    expect([pixels[0], pixels[8], pixels[16]]).toEqual([1, -1, 1]);
    await expect(reader.read(path.join(folder, 'none.png'))).rejects.toMatchObject({
      area: 'dataset',
      message: expect.stringContaining('The image cannot be read') as unknown,
      place: { file: path.join(folder, 'none.png') },
    });
  });

  it.each<[string, object]>([
    ['each side', {}],
    ['the shorter side', { size: { shortest_edge: 64 }, crop_size: { height: 2, width: 4096 } }],
  ])('refuses an image that would grow without end when %s is resized', async (_, config) => {
    const own = mkdtempSync(path.join(tmpdir(), 'reader-'));
    const settings = { do_center_crop: 'size' in config, ...config };
    writeFileSync(path.join(own, 'preprocessor_config.json'), JSON.stringify(settings));
    const { read } = await openImages({ ...patches({ image_size: [2, 4096] }), path: own });
    const file = path.join(own, 'long.png');
    const [width, height] = [1, 20_000];
    writeFileSync(file, encode({ width, height, channels: 1, data: new Uint8Array(height) }));
    await expect(read(file)).rejects.toMatchObject({
      area: 'dataset',
      message: expect.stringContaining('too long and narrow') as unknown,
      place: { file },
    });
  });

  it('is only for models that read RGB images', async () => {
    await expect(openImages(patches({ channels: 1 }))).rejects.toThrow('images of 1 channel, but');
    await expect(openImages(patches({ kind: 'tokens' }))).rejects.toThrow('A vit model does not');
  });
});

describe('a decoded PNG', () => {
  it('has three channels, whatever it had before', () => {
    const pixels = (bytes: Buffer) => [...decodeImage(bytes, 'x').data];
    expect(pixels(png(1, 8, 7, 9))).toEqual([7, 7, 7, 9, 9, 9]);
    expect(pixels(png(2, 8, 7, 0))).toEqual([7, 7, 7]);
    expect(pixels(png(4, 8, 1, 2, 3, 0))).toEqual([1, 2, 3]);
    expect(pixels(png(3, 16, 0x1234, 0xff00, 0x00ff))).toEqual([0x12, 0xff, 0]);
  });

  it('has at most 50 million pixels', () => {
    const sized = (width: number, height: number) => {
      const bytes = png(1, 8, 1);
      bytes.writeUInt32BE(width, 16);
      bytes.writeUInt32BE(height, 20);
      return bytes;
    };
    expect(() => decodeImage(sized(10_000, 5_100), 'x')).toThrow(
      'has 51 million pixels, more than the 50 million that are read',
    );
    expect(() => decodeImage(sized(0, 5), 'x')).toThrow('has no size');
    expect(() => decodeImage(Buffer.of(0xff, 0), 'x')).toThrow('neither a PNG nor a JPEG');
    expect(() => decodeImage(Buffer.of(0, 0xd8), 'x')).toThrow('neither a PNG nor a JPEG');
  });
});

describe('a folder of classes', () => {
  it('has PNG and JPEG of any case, and counts other files but hidden ones', async () => {
    const root = path.join(folder, 'classes');
    for (const name of ['b', 'a', '.git']) mkdirSync(path.join(root, name), { recursive: true });
    for (const name of [
      'a/2.PNG',
      'a/1.jpeg',
      'a/x.jpg.txt',
      'a/.hidden',
      'b/3.jpg',
      'b/y',
      '.git/4.png',
      'top.png',
    ])
      writeFileSync(path.join(root, ...name.split('/')), name);
    const { rows, problems, fingerprint } = await readImageFolder(root);
    expect(rows.map(({ line, label, file }) => [line, label, path.basename(file)])).toEqual([
      [1, 'a', '1.jpeg'],
      [2, 'a', '2.PNG'],
      [3, 'b', '3.jpg'],
    ]);
    expect(problems).toMatchObject([
      { severity: 'warning', message: expect.stringMatching(/^2 files are/) as unknown },
    ]);
    expect(fingerprint).toMatchObject({ file: root, size: 'a/1.jpega/2.PNGb/3.jpg'.length });
    writeFileSync(path.join(root, 'a', 'x.jpg.txt'), 'changed');
    expect((await readImageFolder(root)).fingerprint).toEqual(fingerprint);
  });

  it('without images names the first four of its folders', async () => {
    const root = path.join(folder, 'empty');
    for (const name of ['e', 'd', 'c', 'b', 'a'])
      mkdirSync(path.join(root, name), { recursive: true });
    await expect(readImageFolder(root)).rejects.toThrow('none of its folders (a, b, c, d) has');
  });
});
