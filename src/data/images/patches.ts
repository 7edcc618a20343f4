import type { Picture, Resample } from './resize';
import { resizeImage } from './resize';

/** How an image becomes the patches of a tower, as transformers' Qwen2VLImageProcessor does it. */
export interface PatchSettings {
  /** The side of a patch in pixels. */
  readonly patch: number;
  /** The side of a square of patches that becomes one token. */
  readonly merge: number;
  /** A still image is repeated so many times. */
  readonly frames: number;
  readonly min_pixels: number;
  readonly max_pixels: number;
  readonly resample: Resample;
  /** Null: samples stay 0 to 255. */
  readonly rescale_factor: number | null;
  readonly normalise: { readonly mean: readonly number[]; readonly std: readonly number[] } | null;
}

/** Patches of an image, along its sides. */
export interface PatchGrid {
  readonly height: number;
  readonly width: number;
}

/** Images that are longer than that many times their other side are refused, as in transformers. */
const MOST_ASPECT = 200;

/**
 * The patches of an image of this size: both sides a multiple of whole tokens, as many pixels as
 * the settings allow, and nearly the same shape (transformers' smart_resize).
 *
 * @throws Error when one side is more than 200 times the other
 */
export function gridOf(
  { height, width }: Pick<Picture, 'height' | 'width'>,
  { patch, merge, min_pixels, max_pixels }: PatchSettings,
): PatchGrid {
  const aspect = Math.max(height, width) / Math.min(height, width);
  if (aspect > MOST_ASPECT)
    throw new Error(`its ${width} x ${height} pixels are more than ${MOST_ASPECT} to 1`);
  const side = patch * merge;
  const patches = (tokens: number) => tokens * merge;
  const [tall, wide] = [roundHalfToEven(height / side), roundHalfToEven(width / side)];
  if (tall * wide * side ** 2 > max_pixels) {
    const factor = Math.sqrt((height * width) / max_pixels);
    const down = (length: number) => Math.max(1, Math.floor(length / factor / side));
    return { height: patches(down(height)), width: patches(down(width)) };
  }
  if (tall * wide * side ** 2 < min_pixels) {
    const factor = Math.sqrt(min_pixels / (height * width));
    const up = (length: number) => Math.ceil((length * factor) / side);
    return { height: patches(up(height)), width: patches(up(width)) };
  }
  return { height: patches(tall), width: patches(wide) };
}

/** As Python rounds. */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** An image with the pixels of its patches. */
export const resizedPicture = (
  picture: Picture,
  { height, width }: PatchGrid,
  { patch, resample }: PatchSettings,
): Picture => resizeImage(picture, width * patch, height * patch, resample);

/**
 * The samples of an image's patches, each [channels, frames, height, width], those of a token one
 * after the other. [patches, 3 · frames · patch²]
 */
export function patchSamples(
  picture: Picture,
  grid: PatchGrid,
  settings: PatchSettings,
): Float32Array {
  const { patch, merge, frames } = settings;
  const width = grid.width * patch;
  const { data } = resizedPicture(picture, grid, settings);
  const tables = [0, 1, 2].map((channel) => sampleTable(settings, channel));
  const samples = new Float32Array(grid.height * grid.width * 3 * frames * patch ** 2);
  let at = 0;
  /** The samples of a patch, whose first pixel is at (top, left). */
  const write = (top: number, left: number) => {
    for (const [channel, table] of tables.entries())
      for (let frame = 0; frame < frames; frame++)
        for (let y = top; y < top + patch; y++)
          for (let x = left; x < left + patch; x++)
            samples[at++] = table[data[(y * width + x) * 3 + channel]!]!;
  };
  for (let row = 0; row < grid.height; row += merge)
    for (let column = 0; column < grid.width; column += merge)
      for (let i = 0; i < merge ** 2; i++)
        write((row + Math.floor(i / merge)) * patch, (column + (i % merge)) * patch);
  return samples;
}

/** What each of the 256 values of a channel becomes. */
function sampleTable({ rescale_factor, normalise }: PatchSettings, channel: number): Float32Array {
  return Float32Array.from({ length: 256 }, (_, value) => {
    const scaled = rescale_factor === null ? value : Math.fround(value * rescale_factor);
    return normalise ? (scaled - normalise.mean[channel]!) / normalise.std[channel]! : scaled;
  });
}
