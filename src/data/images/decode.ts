import { decode as decodePng, type DecodedPng } from 'fast-png';
import { LoraError } from '../../shared/errors';
import { decodeJpeg } from './jpeg';
import { findJpegHeader } from './jpegFile';
import { oriented } from './orientation';
import { boundedPng, pngOrientation } from './png';
import type { Picture } from './resize';

/** Larger images are refused before their pixels are allocated. */
const MOST_PIXELS = 50e6;
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47]);

/**
 * Decodes a PNG or JPEG, recognized by its content, to RGB as Pillow does, turned as its metadata
 * say (ImageOps.exif_transpose, then convert('RGB')): grey images get three equal channels, inks
 * become colours, transparency is dropped.
 *
 * @param file Named in errors.
 * @throws LoraError('dataset') for other formats, damaged files and too many pixels.
 */
export function decodeImage(bytes: Buffer, file: string): Picture {
  const fault = headerFault(bytes);
  if (fault) throw new LoraError('dataset', fault.message, { place: { file }, fix: fault.fix });
  try {
    return kindOf(bytes) === 'png'
      ? oriented(fromPng(decodePng(boundedPng(bytes))), pngOrientation(bytes))
      : decodeJpeg(bytes);
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

interface Fault {
  /** A full sentence. */
  readonly message: string;
  readonly fix: string;
}

/** Why a file cannot be an image, by its first bytes; null: it can. */
export function headerFault(bytes: Buffer): Fault | null {
  const kind = kindOf(bytes);
  if (kind === null)
    return {
      message: 'The file is neither a PNG nor a JPEG image.',
      fix: 'Convert it, or remove it from the folder.',
    };
  const pixels = kind === 'png' ? pngPixels(bytes) : jpegPixels(bytes);
  if (pixels === null || (pixels > 0 && pixels <= MOST_PIXELS)) return null;
  return {
    message:
      pixels === 0
        ? 'The image has no size.'
        : `The image has ${Math.round(pixels / 1e6)} million pixels, more than the ${MOST_PIXELS / 1e6} million that are read.`,
    fix: 'Make it smaller, or remove it from the folder.',
  };
}

function kindOf(bytes: Buffer): 'png' | 'jpeg' | null {
  if (bytes.subarray(0, 4).equals(PNG_SIGNATURE)) return 'png';
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? 'jpeg' : null;
}

const pngPixels = (bytes: Buffer): number =>
  bytes.length >= 24 ? bytes.readUInt32BE(16) * bytes.readUInt32BE(20) : 0;

/** Null: the size is not among the bytes, or what is there cannot be read. */
function jpegPixels(bytes: Buffer): number | null {
  try {
    const header = findJpegHeader(bytes);
    return header && header.width * header.height;
  } catch {
    return null;
  }
}

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

/**
 * Reads samples as 0 to 255; those of a palette image as indices. Of 16 bits the upper 8 are taken,
 * but grey without transparency is clipped at 255: Pillow has a mode of its own for it, whose
 * numbers it does not scale.
 */
function sampleReader(png: DecodedPng): (i: number) => number {
  const { data, depth, channels } = png;
  if (depth === 8) return (i) => data[i]!;
  if (depth === 16) return channels === 1 ? (i) => Math.min(255, data[i]!) : (i) => data[i]! >> 8;
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
