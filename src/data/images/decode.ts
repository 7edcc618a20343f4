import { decode as decodePng, type DecodedPng } from 'fast-png';
import { decode as decodeJpeg } from 'jpeg-js';
import { LoraError } from '../../shared/errors';
import type { Picture } from './resize';

/** No photograph is larger; a header that says so would fill the memory. */
const MOST_PIXELS = 100e6;

/**
 * Decodes a PNG or JPEG, by what it is and not by its name, to three channels: grey ones three
 * times, transparency left out as Pillow's convert('RGB') does. Errors: LoraError('dataset') naming
 * the file.
 */
export function decodeImage(bytes: Buffer, file: string): Picture {
  const isPng = bytes.subarray(0, 4).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47]));
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  if (!isPng && !isJpeg)
    throw new LoraError('dataset', 'The file is neither a PNG nor a JPEG image.', {
      place: { file },
      fix: 'Convert it, or remove it from the folder.',
    });
  if (isPng)
    checkSize(bytes.length >= 24 ? bytes.readUInt32BE(16) * bytes.readUInt32BE(20) : 0, file);
  try {
    return isPng
      ? fromPng(decodePng(bytes))
      : fromJpeg(
          decodeJpeg(bytes, {
            useTArray: true,
            formatAsRGBA: false,
            maxResolutionInMP: MOST_PIXELS / 1e6,
            maxMemoryUsageInMB: 2048,
          }),
        );
  } catch (error) {
    throw new LoraError(
      'dataset',
      `The image cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      {
        place: { file },
        fix: 'Save it anew as PNG or JPEG, or remove it from the folder.',
        cause: error,
      },
    );
  }
}

function checkSize(pixels: number, file: string): void {
  if (pixels > 0 && pixels <= MOST_PIXELS) return;
  throw new LoraError(
    'dataset',
    pixels === 0
      ? 'The image has no size.'
      : `The image has ${Math.round(pixels / 1e6)} million pixels, which is too many.`,
    { place: { file }, fix: 'Make it smaller, or remove it from the folder.' },
  );
}

function fromJpeg({
  width,
  height,
  data,
}: {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}): Picture {
  return { width, height, data };
}

function fromPng({ width, height, data, channels, depth, palette }: DecodedPng): Picture {
  const result = new Uint8Array(width * height * 3);
  const valueAt =
    depth === 8
      ? (i: number) => data[i]!
      : depth === 16
        ? (i: number) => data[i]! >> 8
        : bitsAt(data, width, channels, depth, palette === undefined);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const own = Array.from({ length: channels }, (_, c) => valueAt(pixel * channels + c));
    const colour = palette
      ? (palette[own[0]!] ?? [0, 0, 0])
      : channels < 3
        ? [own[0]!, own[0]!, own[0]!]
        : own;
    for (let c = 0; c < 3; c++) result[pixel * 3 + c] = colour[c]!;
  }
  return { width, height, data: result };
}

/** Values of 1, 2 or 4 bits; each row begins at a byte. Grey ones are spread over 0 to 255. */
function bitsAt(
  data: ArrayLike<number>,
  width: number,
  channels: number,
  depth: number,
  isGrey: boolean,
): (i: number) => number {
  const perRow = width * channels;
  const bytesPerRow = Math.ceil((perRow * depth) / 8);
  const most = 2 ** depth - 1;
  return (i) => {
    const row = Math.floor(i / perRow);
    const bit = (i % perRow) * depth;
    const value = (data[row * bytesPerRow + (bit >> 3)]! >> (8 - depth - (bit & 7))) & most;
    return isGrey ? (value * 255) / most : value;
  };
}
