import { crc32, deflateSync } from 'node:zlib';
import { encode } from 'fast-png';
import { expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { LoraError } from '../../../../src/shared/errors';

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

function png(
  width: number,
  height: number,
  data: Uint8Array,
  more: readonly Buffer[] = [],
): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...more,
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const bomb = deflateSync(Buffer.alloc(100e6));

function expectRefused(bytes: Buffer, words: RegExp): void {
  const start = performance.now();
  const before = process.memoryUsage().arrayBuffers;
  expect(() => decodeImage(bytes, 'x.png')).toThrow(words);
  expect(() => decodeImage(bytes, 'x.png')).toThrow(LoraError);
  expect(performance.now() - start).toBeLessThan(2_000);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50e6);
}

it('refuses a PNG whose data inflates to more than its pixels', () => {
  expectRefused(png(2, 2, bomb), /inflates to more than its size/);
});

it('refuses a PNG whose pixels take too much memory', () => {
  expectRefused(png(7_000, 8_000, bomb), /million pixels/);
  const wide = png(6_000, 7_000, bomb);
  wide[24] = 16;
  expectRefused(wide, /its pixels take 252 MB/);
});

it('refuses a PNG whose data inflates to less than its pixels, as Pillow does', () => {
  for (const bytes of [0, 1, 3, 6, 13])
    expectRefused(png(2, 2, deflateSync(Buffer.alloc(bytes))), /the file is cut short/);
  expect(decodeImage(png(2, 2, deflateSync(Buffer.alloc(14))), 'x').data).toHaveLength(12);
});

it('does not inflate what a PNG has beside its pixels', () => {
  const profile = Buffer.concat([Buffer.from('icc\0\0', 'latin1'), bomb]);
  const row = deflateSync(Buffer.from([0, 7, 8, 9]));
  expect([...decodeImage(png(1, 1, row, [chunk('iCCP', profile)]), 'x').data]).toEqual([7, 8, 9]);
});

it('refuses a PNG with another header or a palette of millions', () => {
  const row = deflateSync(Buffer.from([0, 7, 8, 9]));
  const header = png(9_000, 9_000, row).subarray(8, 33);
  expectRefused(png(1, 1, row, [header]), /chunks are not those of a PNG/);
  expectRefused(png(1, 1, row, [chunk('PLTE', Buffer.alloc(3e6))]), /chunks are not those/);
});

it('decodes a PNG of random pixels as it was written', () => {
  const data = Uint8Array.from({ length: 5 * 7 * 4 }, (_, i) => (i * 37) % 256);
  const bytes = Buffer.from(encode({ width: 5, height: 7, channels: 4, data }));
  const expected = [...data].filter((_, i) => i % 4 < 3);
  expect([...decodeImage(bytes, 'x').data]).toEqual(expected);
});

it('refuses a JPEG with scans without end or of huge size', () => {
  const scans = Buffer.alloc(4 * 200, Buffer.from([0xff, 0xda, 0, 2]));
  expectRefused(Buffer.concat([Buffer.from([0xff, 0xd8]), scans]), /more than 100 scans/);
  const frame = [0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3];
  const parts = [1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
  expectRefused(Buffer.from([...frame, ...parts, 0xff, 0xd9]), /has 4295 million pixels/);
});
