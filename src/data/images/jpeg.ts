import { readJpegFile, type JpegFile } from './jpegFile';
import { decodePlanes } from './jpegScans';
import { oriented } from './orientation';
import type { Picture } from './resize';
import { upsampled } from './upsample';

/**
 * Decodes a JPEG to RGB with exactly the pixels of Pillow, which are those of libjpeg, and turns it
 * as its metadata say.
 *
 * @throws Error where it is damaged or of a kind that is not read
 */
export function decodeJpeg(bytes: Buffer): Picture {
  const file = readJpegFile(bytes);
  return oriented(pixelsOf(file), file.orientation);
}

function pixelsOf(file: JpegFile): Picture {
  const { width, height, most } = file;
  const planes = decodePlanes(file).map((plane, i) => {
    const { across, down } = file.components[i]!;
    return upsampled(plane, [most.across / across, most.down / down], [width, height]);
  });
  return { width, height, data: new Uint8Array(colored(planes, file).buffer) };
}

/** @param planes Of each component. [height, width] */
function colored(
  planes: readonly Uint8Array[],
  { width, height, colors }: JpegFile,
): Uint8ClampedArray<ArrayBuffer> {
  const [first, second, third, key] = planes;
  const pixels = new Uint8ClampedArray(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    pixels[3 * i] = first![i]!;
    pixels[3 * i + 1] = (second ?? first)![i]!;
    pixels[3 * i + 2] = (third ?? first)![i]!;
  }
  if (colors === 'ycc' || colors === 'ycck') toRgb(pixels);
  if (key) printed(pixels, key, colors === 'ycck');
  return pixels;
}

const HALF = 2 ** 15;
/** Fixed-point weights with 16 fractional bits. */
const fixed = (x: number): number => Math.round(x * 2 ** 16);
const RED_CR = fixed(1.402);
const BLUE_CB = fixed(1.772);
const GREEN_CB = fixed(0.34414);
const GREEN_CR = fixed(0.71414);

/** YCbCr to RGB in place, in the fixed-point arithmetic of libjpeg (jdcolor.c). */
function toRgb(pixels: Uint8ClampedArray): void {
  for (let i = 0; i < pixels.length; i += 3) {
    const y = pixels[i]!;
    const cb = pixels[i + 1]! - 128;
    const cr = pixels[i + 2]! - 128;
    pixels[i] = y + ((RED_CR * cr + HALF) >> 16);
    pixels[i + 1] = y + ((HALF - GREEN_CB * cb - GREEN_CR * cr) >> 16);
    pixels[i + 2] = y + ((BLUE_CB * cb + HALF) >> 16);
  }
}

/**
 * Inks to RGB in place, as Pillow does (cmyk2rgb in Convert.c). It takes all files as Adobe's
 * programs write them: inverted, so that 255 is no ink. Those of YCCK have been inverted twice.
 */
function printed(pixels: Uint8ClampedArray, key: Uint8Array, isYcck: boolean): void {
  for (let i = 0; i < key.length; i++) {
    const white = key[i]!;
    for (let at = 3 * i; at < 3 * i + 3; at++) {
      const ink = isYcck ? pixels[at]! : 255 - pixels[at]!;
      pixels[at] = white - dividedBy255(ink * white);
    }
  }
}

/** Rounded. */
function dividedBy255(product: number): number {
  const sum = product + 128;
  return ((sum >> 8) + sum) >> 8;
}
