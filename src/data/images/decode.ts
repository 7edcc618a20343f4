import { decode as decodePng, type DecodedPng } from 'fast-png';
import { decode as decodeJpeg } from 'jpeg-js';
import { LoraError } from '../../shared/errors';
import { boundedPng } from './png';
import type { Picture } from './resize';

/** Larger images are refused before their pixels are allocated. */
const MOST_PIXELS = 50e6;
const MOST_JPEG_MEGABYTES = 1024;
/** Each scan of a progressive JPEG goes over the whole image; usual are at most 12. */
const MOST_SCANS = 100;

/**
 * Decodes a PNG or JPEG, recognized by its content, to RGB as Pillow's convert('RGB') does: grey
 * images get three equal channels, transparency is dropped.
 *
 * @param file Named in errors.
 * @throws LoraError('dataset') for other formats, damaged files and too many pixels.
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
    return isPng ? fromPng(decodePng(boundedPng(bytes))) : fromJpeg(bytes);
  } catch (error) {
    throw new LoraError(
      'dataset',
      `The image cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      {
        place: { file },
        fix: 'Save it again as PNG or JPEG, or remove it from the folder.',
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

function fromJpeg(bytes: Buffer): Picture {
  let scans = 0;
  for (let at = bytes.indexOf(START_OF_SCAN); at >= 0; at = bytes.indexOf(START_OF_SCAN, at + 2))
    if (++scans > MOST_SCANS) throw new Error(`it has more than ${MOST_SCANS} scans`);
  const { width, height, data } = decodeJpeg(bytes, {
    useTArray: true,
    formatAsRGBA: false,
    maxResolutionInMP: MOST_PIXELS / 1e6,
    maxMemoryUsageInMB: MOST_JPEG_MEGABYTES,
  });
  return { width, height, data };
}

const START_OF_SCAN = Buffer.from([0xff, 0xda]);

function fromPng(png: DecodedPng): Picture {
  const { width, height, channels, palette, depth, data } = png;
  const result = new Uint8Array(width * height * 3);
  if (depth === 8 && !palette && channels >= 3) {
    for (let to = 0, from = 0; to < result.length; to += 3, from += channels)
      for (let c = 0; c < 3; c++) result[to + c] = data[from + c]!;
    return { width, height, data: result };
  }
  const sampleAt = sampleReader(png);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const samples = Array.from({ length: channels }, (_, c) => sampleAt(pixel * channels + c));
    result.set(toRgb(samples, palette), pixel * 3);
  }
  return { width, height, data: result };
}

function toRgb(samples: readonly number[], palette: DecodedPng['palette']): readonly number[] {
  const [first] = samples;
  if (palette) return palette[first!]?.slice(0, 3) ?? [0, 0, 0];
  return samples.length < 3 ? [first!, first!, first!] : samples.slice(0, 3);
}

/** Reads samples as 0 to 255; those of a palette image as indices. */
function sampleReader(png: DecodedPng): (i: number) => number {
  const { data, depth } = png;
  if (depth === 8) return (i) => data[i]!;
  if (depth === 16) return (i) => data[i]! >> 8;
  return packedSampleReader(png);
}

/** Samples of 1, 2 or 4 bits; each row starts at a byte. */
function packedSampleReader(png: DecodedPng): (i: number) => number {
  const { data, width, channels, depth, palette } = png;
  const samplesPerRow = width * channels;
  const bytesPerRow = Math.ceil((samplesPerRow * depth) / 8);
  const largest = 2 ** depth - 1;
  return (i) => {
    const row = Math.floor(i / samplesPerRow);
    const bit = (i % samplesPerRow) * depth;
    const byte = data[row * bytesPerRow + (bit >> 3)]!;
    const value = (byte >> (8 - depth - (bit & 7))) & largest;
    return palette ? value : (value * 255) / largest;
  };
}
