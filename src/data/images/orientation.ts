import type { Picture } from './resize';

/**
 * How the stored pixels of a photograph are turned for showing it, as the TIFF tag Orientation has
 * it: 1 as stored, 2 mirrored, 3 by 180 degrees, 4 upside down, 5 transposed, 6 by 90 degrees
 * clockwise, 7 transposed along the other diagonal, 8 by 90 degrees to the left.
 */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const ORIENTATION_TAG = 0x0112;
const ENTRY_BYTES = 12;
/** Bytes of a value by its TIFF type: BYTE, SHORT, LONG. */
const VALUE_BYTES: Readonly<Record<number, 1 | 2 | 4>> = { 1: 1, 3: 2, 4: 4 };

const isOrientation = (value: number): value is Orientation =>
  Number.isInteger(value) && value >= 1 && value <= 8;

/**
 * The orientation that EXIF data states: the tag of the first directory (EXIF 2.32, 4.6.4).
 *
 * @param tiff From the byte order mark on.
 * @returns Null where the data has none that is valid.
 */
export function exifOrientation(tiff: Buffer): Orientation | null {
  const order = tiff.toString('latin1', 0, 2);
  if (tiff.length < 8 || (order !== 'II' && order !== 'MM')) return null;
  const read = (at: number, bytes: 1 | 2 | 4): number =>
    order === 'II' ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  const start = read(4, 4);
  if (start + 2 > tiff.length) return null;
  const entries = read(start, 2);
  for (let i = 0; i < entries; i++) {
    const at = start + 2 + i * ENTRY_BYTES;
    if (at + ENTRY_BYTES > tiff.length) return null;
    if (read(at, 2) !== ORIENTATION_TAG) continue;
    const bytes = VALUE_BYTES[read(at + 2, 2)];
    if (bytes === undefined) return null;
    const value = read(at + 8, bytes);
    return isOrientation(value) ? value : null;
  }
  return null;
}

/** The orientation that XMP metadata states, as an attribute or an element; null: none. */
export function xmpOrientation(xmp: string): Orientation | null {
  const [, digit] = /tiff:Orientation(?:="|>)([0-9])/.exec(xmp) ?? [];
  const value = Number(digit);
  return isOrientation(value) ? value : null;
}

/** Where a pixel of the turned picture is in the stored one of width w and height h. */
type Source = (x: number, y: number, w: number, h: number) => readonly [x: number, y: number];

const SOURCES: Readonly<Record<Exclude<Orientation, 1>, Source>> = {
  2: (x, y, w) => [w - 1 - x, y],
  3: (x, y, w, h) => [w - 1 - x, h - 1 - y],
  4: (x, y, _, h) => [x, h - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y, _, h) => [y, h - 1 - x],
  7: (x, y, w, h) => [w - 1 - y, h - 1 - x],
  8: (x, y, w) => [w - 1 - y, x],
};

/** Turns a picture as Pillow's ImageOps.exif_transpose does. */
export function oriented(picture: Picture, orientation: Orientation): Picture {
  if (orientation === 1) return picture;
  const source = SOURCES[orientation];
  const { width, height, data } = picture;
  const [toWidth, toHeight] = orientation >= 5 ? [height, width] : [width, height];
  const result = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      const [fromX, fromY] = source(x, y, width, height);
      const from = (fromY * width + fromX) * 3;
      result[to++] = data[from]!;
      result[to++] = data[from + 1]!;
      result[to++] = data[from + 2]!;
    }
  }
  return { width: toWidth, height: toHeight, data: result };
}
