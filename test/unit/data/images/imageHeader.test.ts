import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { imageSize } from '../../../../src/data/images/imageHeader';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures');
const images = ['images', 'photos'].flatMap((folder) =>
  readdirSync(path.join(fixtures, folder))
    .filter((name) => /\.(?:png|jpe?g)$/.test(name))
    .map((name) => path.join(fixtures, folder, name)),
);
const chats = path.join(fixtures, 'qwen3-vl-images', 'chats');
const [png, jpeg] = [
  readFileSync(path.join(chats, 'wide.png')),
  readFileSync(images.find((file) => file.endsWith('.jpg'))!),
];

describe('the size of an image', () => {
  it('is that of its picture, also where it is turned', () => {
    let compared = 0;
    for (const file of images) {
      const bytes = readFileSync(file);
      const size = (read: () => { width: number; height: number }) => {
        try {
          const { width, height } = read();
          return `${width} ${height}`;
        } catch {
          return null;
        }
      };
      const picture = size(() => decodeImage(bytes, file));
      if (picture === null) continue;
      compared++;
      expect(
        size(() => imageSize(bytes)),
        file,
      ).toBe(picture);
    }
    expect(compared).toBeGreaterThan(20);
  });

  it('is not read of a file that is cut short', () => {
    for (const [whole, cuts] of [
      [png, [5, 200, png.length - 60]],
      [jpeg, [2, 100]],
    ] as const)
      for (const cut of cuts) expect(() => imageSize(whole.subarray(0, -cut))).toThrow('cut short');
  });

  it('is not read of other files and damaged headers', () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('GIF89a'),
      png.subarray(0, 20),
      jpeg.subarray(0, 20),
      Buffer.concat([png.subarray(0, 16), Buffer.alloc(40)]),
    ])
      expect(() => imageSize(bytes)).toThrow(/./);
  });

  it('refuses too many pixels', () => {
    const huge = Buffer.from(png);
    huge.writeUInt32BE(9000, 16);
    huge.writeUInt32BE(9000, 20);
    expect(() => imageSize(huge)).toThrow('81 million pixels');
  });
});
