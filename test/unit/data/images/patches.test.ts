import { describe, expect, it } from 'vitest';
import { gridOf, patchSamples, type PatchSettings } from '../../../../src/data/images/patches';

const SETTINGS: PatchSettings = {
  patch: 2,
  merge: 2,
  frames: 2,
  min_pixels: 1,
  max_pixels: 1e9,
  resample: 3,
  rescale_factor: null,
  normalise: null,
};

describe('the grid of an image', () => {
  // smart_resize of transformers 5.24: height, width, side of a token, pixels, new height, width
  it.each([
    [480, 640, 32, 65536, 16777216, 480, 640],
    [37, 20, 8, 1024, 2048, 48, 24],
    [30, 61, 8, 1024, 2048, 32, 64],
    [1, 150, 8, 1024, 2048, 8, 392],
    [3000, 4000, 32, 65536, 1003520, 864, 1152],
    [5000, 30, 28, 3136, 1003520, 5012, 28],
    [48, 80, 32, 1024, 1e9, 64, 64],
    [16, 16, 32, 1, 1e9, 32, 32],
    [100, 100, 32, 1024, 900, 32, 32],
  ])('of %i x %i in tokens of %i, %i to %i pixels', (...numbers) => {
    const [height, width, side, min_pixels, max_pixels, tall, wide] = numbers;
    const patch = side / 2;
    const grid = gridOf({ height, width }, { ...SETTINGS, patch, min_pixels, max_pixels });
    expect([grid.height * patch, grid.width * patch]).toEqual([tall, wide]);
  });

  it('is refused beyond 200 to 1', () => {
    expect(gridOf({ height: 2, width: 400 }, SETTINGS).height).toBe(2);
    expect(() => gridOf({ height: 2, width: 401 }, SETTINGS)).toThrow('more than 200 to 1');
  });
});

describe('the samples of patches', () => {
  /** Each channel of a pixel is its place, plus 100 for green and 200 for blue. */
  const picture = (width: number, height: number) => ({
    width,
    height,
    data: Uint8Array.from(
      { length: 3 * width * height },
      (_, i) => (i % 3) * 100 + Math.floor(i / 3),
    ),
  });

  it('are those of a token one after the other, by channel, frame, row and column', () => {
    const samples = patchSamples(picture(8, 4), { height: 2, width: 4 }, SETTINGS);
    expect(samples.length).toBe(8 * 3 * 2 * 4);
    const firstOf = (patch: number) => samples[patch * 24]!;
    // the two tokens are beside each other, each of two rows of two patches
    expect([0, 1, 2, 3, 4, 5, 6, 7].map(firstOf)).toEqual([0, 2, 16, 18, 4, 6, 20, 22]);
    expect([...samples.subarray(0, 24)]).toEqual(
      [0, 100, 200].flatMap((from) => [0, 1, 8, 9, 0, 1, 8, 9].map((at) => from + at)),
    );
  });

  it('are scaled and normalised by channel', () => {
    const settings: PatchSettings = {
      ...SETTINGS,
      rescale_factor: 1 / 255,
      normalise: { mean: [0, 0.5, 0.25], std: [1, 0.5, 0.25] },
    };
    const white = { width: 4, height: 4, data: new Uint8Array(48).fill(255) };
    const samples = patchSamples(white, { height: 2, width: 2 }, settings);
    expect([samples[0], samples[8], samples[16]]).toEqual([1, 1, 3]);
  });
});
