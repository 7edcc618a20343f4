/** An RGB image, each sample 0 to 255. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly data: Uint8Array;
}

/** Pillow's resampling filters, by their numbers in a preprocessor's config. */
export type Resample = 0 | 1 | 2 | 3 | 4 | 5;

interface Filter {
  /** Half the width of the filter's window, in input pixels at scale 1. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Keys' cubic (1981) with a = -0.5. */
function cubic(x: number): number {
  const a = Math.abs(x);
  if (a < 1) return (1.5 * a - 2.5) * a * a + 1;
  return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
}

const FILTERS: Readonly<Record<Exclude<Resample, 0>, Filter>> = {
  1: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
  2: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  3: { support: 2, weight: cubic },
  4: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  5: {
    support: 1,
    weight: (x) =>
      Math.abs(x) >= 1 ? 0 : (x === 0 ? 1 : sinc(x)) * (0.54 + 0.46 * Math.cos(Math.PI * x)),
  },
};

/** Fractional bits of Pillow's fixed-point weights: 32, less 8 for a pixel and 2 for overshoot. */
const PRECISION = 22;

/** Of a row or column of millions of pixels, resizing would make billions. */
const MOST_PIXELS = 64e6;

/**
 * Resizes with exactly the pixels of Pillow: two passes, filters widened where the image shrinks,
 * fixed-point weights and sums.
 *
 * @throws Error when the image has too many pixels after one of them.
 */
export function resizeImage(
  picture: Picture,
  width: number,
  height: number,
  resample: Resample,
): Picture {
  if (picture.width === width && picture.height === height) return picture;
  if (width * Math.max(height, picture.height) > MOST_PIXELS)
    throw new Error(
      `its ${picture.width} x ${picture.height} pixels are too long and narrow to be resized to ${width} x ${height}`,
    );
  if (resample === 0) return nearest(picture, width, height);
  const filter = FILTERS[resample];
  const across = picture.width === width ? picture : resizeRows(picture, width, filter);
  return picture.height === height
    ? across
    : transposed(resizeRows(transposed(across), height, filter));
}

/** Resizes every row to another width. */
function resizeRows({ width, height, data }: Picture, to: number, filter: Filter): Picture {
  const result = new Uint8Array(to * height * 3);
  for (const [x, { start, weights }] of windowsOf(width, to, filter).entries()) {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** (PRECISION - 1);
        for (let k = 0; k < weights.length; k++)
          sum += data[(y * width + start + k) * 3 + c]! * weights[k]!;
        result[(y * to + x) * 3 + c] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** PRECISION)));
      }
    }
  }
  return { width: to, height, data: result };
}

/** For each output pixel, the first input pixel and the fixed-point weights from there on. */
function windowsOf(
  from: number,
  to: number,
  { support, weight }: Filter,
): { readonly start: number; readonly weights: readonly number[] }[] {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const radius = support * stretch;
  return Array.from({ length: to }, (_, x) => {
    const center = (x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - radius + 0.5));
    const end = Math.min(from, Math.trunc(center + radius + 0.5));
    const raw = Array.from({ length: end - start }, (_, k) =>
      weight((start + k - center + 0.5) / stretch),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    return {
      start,
      weights: raw.map((w) => Math.trunc((w / sum) * 2 ** PRECISION + (w < 0 ? -0.5 : 0.5))),
    };
  });
}

function transposed({ width, height, data }: Picture): Picture {
  const result = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) result[(x * height + y) * 3 + c] = data[(y * width + x) * 3 + c]!;
    }
  }
  return { width: height, height: width, data: result };
}

function nearest({ width, height, data }: Picture, toWidth: number, toHeight: number): Picture {
  const result = new Uint8Array(toWidth * toHeight * 3);
  for (let y = 0; y < toHeight; y++) {
    const fromY = Math.min(height - 1, Math.floor(((y + 0.5) * height) / toHeight));
    for (let x = 0; x < toWidth; x++) {
      const from =
        (fromY * width + Math.min(width - 1, Math.floor(((x + 0.5) * width) / toWidth))) * 3;
      result.set(data.subarray(from, from + 3), (y * toWidth + x) * 3);
    }
  }
  return { width: toWidth, height: toHeight, data: result };
}
