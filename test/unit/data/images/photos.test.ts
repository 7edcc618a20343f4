import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../../src/data/images/decode';
import { exifOrientation } from '../../../../src/data/images/orientation';
import { readImagesOf } from '../../../../src/data/images/readRows';
import { SafetensorsFile } from '../../../../src/formats/safetensors/read';
import { LoraError } from '../../../../src/shared/errors';

const folder = path.resolve(import.meta.dirname, '../../../fixtures/photos');
const expected = await SafetensorsFile.open(path.join(folder, 'expected.safetensors'), 'usage');
const files = readdirSync(folder).filter((name) => /\.(?:png|jpg)$/.test(name));
const bytesOf = (name: string): Buffer => readFileSync(path.join(folder, name));

describe('a photograph', () => {
  it.each(files)('%s has exactly the pixels of Pillow', async (name) => {
    const { width, height, data } = decodeImage(bytesOf(name), name);
    expect([height, width, 3]).toEqual(expected.tensors.get(name)!.shape);
    expect([...data]).toEqual([...(await expected.readInts(name))].map(Number));
  });

  it.each(['progressive420.jpg', 'cmyk.jpg', 'turned6.png'])(
    '%s cut short anywhere is an error that names the file',
    (name) => {
      const bytes = bytesOf(name);
      for (let end = 0; end < bytes.length - 2; end += 7) {
        const error = faultOf(() => decodeImage(bytes.subarray(0, end), name));
        expect(error, `of ${end} bytes`).toBeInstanceOf(LoraError);
        expect(error).toMatchObject({ area: 'dataset', place: { file: name } });
      }
    },
  );

  it('of a kind that is not read is refused by its kind', () => {
    const changed = (change: (bytes: Buffer, frame: number) => void) => {
      const bytes = Buffer.from(bytesOf('thinned420.jpg'));
      change(bytes, bytes.indexOf(Buffer.of(0xff, 0xc0)));
      return () => decodeImage(bytes, 'x.jpg');
    };
    expect(changed((bytes, at) => bytes.writeUInt8(0xc9, at + 1))).toThrow('its coding (SOF9)');
    expect(changed((bytes, at) => bytes.writeUInt8(12, at + 4))).toThrow('have 12 bits instead');
    expect(changed((bytes, at) => bytes.writeUInt8(2, at + 9))).toThrow('2 colours instead');
    const byFractions = (bytes: Buffer, at: number) => {
      bytes.writeUInt8(0x32, at + 11);
      bytes.writeUInt8(0x21, at + 14);
    };
    expect(changed(byFractions)).toThrow('chroma subsampling is fractional');
    expect(changed((bytes, at) => bytes.writeUInt8(0x51, at + 11))).toThrow('are not 1 to 4');
    expect(changed((bytes, at) => bytes.writeUInt16BE(9000, at + 5))).toThrow('cut short');
    const large = (bytes: Buffer, at: number) => bytes.writeUInt32BE(0xffffffff, at + 5);
    expect(changed(large)).toThrow('has 4295 million pixels');
  });
});

function faultOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return error;
  }
}

const rows = [
  { line: 1, file: '/w/a.jpg' },
  { line: 2, file: '/w/b.jpg' },
];

it('an image that cannot be read is named with its row', async () => {
  const read = (file: string) =>
    Promise.resolve().then(() =>
      decodeImage(bytesOf('cmyk.jpg').subarray(0, file === '/w/b.jpg' ? 900 : undefined), file),
    );
  await expect(readImagesOf(rows, read)).rejects.toMatchObject({
    message: 'Row 2 of the dataset: The image cannot be read: the file is cut short.',
    place: { file: '/w/b.jpg' },
    fix: expect.stringContaining('remove it') as unknown,
  });
  const gone = new Error('gone');
  await expect(readImagesOf(rows, () => Promise.reject(gone))).rejects.toBe(gone);
});

describe('the orientation of EXIF data', () => {
  const tiff = (...entry: number[]) =>
    Buffer.from([...Buffer.from('II*\0'), 8, 0, 0, 0, 1, 0, ...entry, 0, 0, 0, 0]);

  it('is read from bytes, short and long numbers', () => {
    expect(exifOrientation(tiff(0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0))).toBe(6);
    expect(exifOrientation(tiff(0x12, 1, 1, 0, 1, 0, 0, 0, 5, 9, 9, 9))).toBe(5);
    expect(exifOrientation(tiff(0x12, 1, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0))).toBe(8);
  });

  it('is null where it is damaged, missing or no orientation', () => {
    expect(exifOrientation(tiff(0x12, 1, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0))).toBeNull();
    expect(exifOrientation(tiff(0x12, 1, 2, 0, 1, 0, 0, 0, 6, 0, 0, 0))).toBeNull();
    expect(exifOrientation(tiff(0x13, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0))).toBeNull();
    expect(exifOrientation(tiff(0x12, 1, 3).subarray(0, 12))).toBeNull();
    expect(exifOrientation(Buffer.from('XX*\0abcd'))).toBeNull();
    expect(exifOrientation(Buffer.from('II*\0\xff\xff\xff\xff', 'latin1'))).toBeNull();
    expect(exifOrientation(Buffer.alloc(0))).toBeNull();
  });
});
