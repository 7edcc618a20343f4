import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { embeddedBytes } from '../../../../src/data/images/embedded';
import { readImageFile } from '../../../../src/data/images/reader';
import { resizeImage } from '../../../../src/data/images/resize';
import { pngOf, thumbnailOf } from '../../../../src/data/images/thumbnail';

const chats = path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images/chats');
const folder = mkdtempSync(path.join(tmpdir(), 'thumbnail-'));

function writeTemp(name: string, content: Buffer): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

it('has the pixels of a small image, and says its size', async () => {
  const file = path.join(chats, 'wide.png');
  const picture = await readImageFile(file);
  const { url, width, height } = await thumbnailOf(file);
  expect([width, height]).toEqual([picture.width, picture.height]);
  const scale = Math.min(1, 128 / Math.max(width, height));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  expect(decodeImage(embeddedBytes(url), 'thumbnail')).toEqual(resizeImage(picture, w, h, 4));
});

it('shrinks a large image to 128 pixels, and a long one to at least one', async () => {
  const data = Uint8Array.from({ length: 600 * 3 }, (_, i) => i % 256);
  const file = writeTemp('long.png', pngOf({ width: 600, height: 1, data }));
  const { url, width, height } = await thumbnailOf(file);
  expect([width, height]).toEqual([600, 1]);
  const small = decodeImage(embeddedBytes(url), 'thumbnail');
  expect([small.width, small.height]).toEqual([128, 1]);
});

it('takes an image within a text', async () => {
  const bytes = readFileSync(path.join(chats, 'wide.png'));
  const inside = await thumbnailOf(`data:image/png;base64,${bytes.toString('base64')}`);
  expect(inside).toEqual(await thumbnailOf(path.join(chats, 'wide.png')));
});

it('refuses what cannot be read', async () => {
  const cut = writeTemp('cut.png', readFileSync(path.join(chats, 'wide.png')).subarray(0, 60));
  await expect(thumbnailOf(cut)).rejects.toThrow('The image cannot be read');
  const other = writeTemp('other.png', Buffer.from('GIF89a'));
  await expect(thumbnailOf(other)).rejects.toThrow('neither a PNG nor a JPEG');
});

it.each([
  ['https://example.com/a.png', 'not an address'],
  ['data:text/html;base64,AAAA', 'must begin with data:image/png'],
  ['data:image/svg+xml;base64,PHN2Zz4=', 'neither a PNG nor a JPEG'],
  [`data:image/png;base64,${'A'.repeat(9 * 2 ** 20)}`, 'more than 8388608 characters'],
  ['/'.padEnd(5000, 'a'), 'more than 4096 characters'],
])('refuses %.40s', (image, fault) => expect(thumbnailOf(image)).rejects.toThrow(fault));
