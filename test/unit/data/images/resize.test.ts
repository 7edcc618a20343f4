import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  preprocess,
  readPreprocessor,
  type Preprocessor,
} from '../../../../src/data/images/preprocessor';
import { resizeImage, type Picture, type Resample } from '../../../../src/data/images/resize';

/** An image whose channels are the numbers, their halves, and 0. */
const picture = (width: number, ...values: number[]): Picture => ({
  width,
  height: values.length / width,
  data: Uint8Array.from(values.flatMap((value) => [value, value >> 1, 0])),
});
const reds = ({ data }: { readonly data: ArrayLike<number> }) =>
  Array.from(data).filter((_, i) => i % 3 === 0);
const STEP = [0, 0, 0, 0, 200, 200, 200, 200];

describe('a resized image', () => {
  // Pillow's weights, written out: the windows and the rounding are those of its C code.
  it.each<[Resample, number[]]>([
    [0, [0, 0, 200, 200]],
    [2, [0, 25, 175, 200]],
    [4, [0, 0, 200, 200]],
  ])('by filter %i is made half as wide', (resample, want) => {
    const { width, height, data } = resizeImage(picture(8, ...STEP), 4, 1, resample);
    expect([width, height]).toEqual([4, 1]);
    expect(reds({ data })).toEqual(want);
    expect(data[10]).toBe(want[3]! / 2);
    expect(data[11]).toBe(0);
  });

  it.each<Resample>([1, 2, 3, 4, 5])('by filter %i keeps flat colours and mirrors', (resample) => {
    expect(reds(resizeImage(picture(3, 90, 90, 90), 7, 2, resample))).toEqual(
      new Array<number>(14).fill(90),
    );
    if (resample === 4) return;
    const values = [10, 200, 30, 90, 250];
    const there = reds(resizeImage(picture(5, ...values), 8, 1, resample));
    const back = reds(resizeImage(picture(5, ...[...values].reverse()), 8, 1, resample));
    expect(there).toEqual([...back].reverse());
  });

  it('overshoots at an edge by the filters with negative weights only, within 0 to 255', () => {
    const enlarged = (resample: Resample, low: number, high: number) =>
      reds(resizeImage(picture(6, low, low, low, high, high, high), 24, 1, resample));
    for (const resample of [1, 3] as const) {
      expect(Math.max(...enlarged(resample, 50, 200))).toBeGreaterThan(202);
      expect(Math.min(...enlarged(resample, 50, 200))).toBeLessThan(48);
      expect(enlarged(resample, 0, 255).every((x) => x >= 0 && x <= 255)).toBe(true);
      expect(
        enlarged(resample, 0, 255)
          .slice(0, 8)
          .every((x) => x < 60),
      ).toBe(true);
    }
    for (const resample of [2, 4, 5] as const) {
      const values = enlarged(resample, 50, 200);
      expect(values).toEqual([...values].sort((a, b) => a - b));
      expect([values[0], values.at(-1)]).toEqual([50, 200]);
    }
  });

  it('is resized in both directions, the nearest pixels alike', () => {
    const corners = picture(2, 0, 100, 50, 200);
    expect(reds(resizeImage(corners, 4, 2, 0))).toEqual([0, 0, 100, 100, 50, 50, 200, 200]);
    expect(reds(resizeImage(corners, 2, 4, 0))).toEqual([0, 100, 0, 100, 50, 200, 50, 200]);
    expect(reds(resizeImage(corners, 1, 1, 2))).toEqual([88]);
    expect(reds(resizeImage(corners, 2, 1, 2))).toEqual([25, 150]);
    expect(reds(resizeImage(corners, 1, 2, 2))).toEqual([50, 125]);
    expect(resizeImage(corners, 2, 2, 3)).toBe(corners);
  });
});

describe('a preprocessed image', () => {
  const PLAIN: Preprocessor = {
    width: 2,
    height: 2,
    shortest_edge: null,
    resample: 0,
    rescale_factor: null,
    normalise: null,
  };

  it('has one plane per channel, rescaled and normalised', () => {
    const image = picture(2, 10, 20, 30, 40);
    expect([...preprocess(image, PLAIN)]).toEqual([10, 20, 30, 40, 5, 10, 15, 20, 0, 0, 0, 0]);
    const normalise = { mean: [1, 2, 3], std: [1, 2, 4] };
    expect([...preprocess(image, { ...PLAIN, rescale_factor: 0.5, normalise })]).toEqual([
      4, 9, 14, 19, 0.25, 1.5, 2.75, 4, -0.75, -0.75, -0.75, -0.75,
    ]);
  });

  it('is cropped at the center after its shorter side is resized', () => {
    const wide = picture(6, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16);
    const red = (image: Picture, change: Partial<Preprocessor>) =>
      [...preprocess(image, { ...PLAIN, shortest_edge: 2, ...change })].slice(
        0,
        (change.width ?? 2) * (change.height ?? 2),
      );
    expect(red(wide, {})).toEqual([3, 4, 13, 14]);
    expect(red(wide, { width: 3 })).toEqual([2, 3, 4, 12, 13, 14]);
    const tall = picture(2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    expect(red(tall, {})).toEqual([3, 4, 5, 6]);
    expect(red(tall, { shortest_edge: 1, height: 1, width: 1 })).toHaveLength(1);
    expect(
      red(picture(4, 1, 2, 3, 4, 5, 6, 7, 8), { shortest_edge: 1, width: 2, height: 1 }),
    ).toEqual([6, 8]);
  });

  it('has a black border where it is smaller than the crop', () => {
    const [red] = [
      [
        ...preprocess(picture(2, 1, 2, 3, 4), { ...PLAIN, shortest_edge: 2, width: 4, height: 4 }),
      ].slice(0, 16),
    ];
    expect(red).toEqual([0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0]);
  });
});

describe('the settings of a preprocessor', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'preprocessor-'));
  const of = (config: object, size: readonly [number, number] = [24, 32]) => {
    writeFileSync(path.join(folder, 'preprocessor_config.json'), JSON.stringify(config));
    return readPreprocessor(folder, size);
  };
  const HALF = [0.5, 0.5, 0.5];

  it('are those of ViT where nothing is set', async () => {
    const defaults = {
      width: 32,
      height: 24,
      shortest_edge: null,
      resample: 2,
      rescale_factor: 1 / 255,
      normalise: { mean: HALF, std: HALF },
    };
    expect(await of({})).toEqual(defaults);
    expect(await readPreprocessor(path.join(folder, 'none'), [24, 32])).toEqual(defaults);
  });

  it('are taken from the file', async () => {
    expect(
      await of({
        size: { shortest_edge: 40 },
        crop_size: { height: 24, width: 32 },
        do_center_crop: true,
        resample: 0,
        do_rescale: true,
        rescale_factor: 0.5,
        image_mean: [0.1],
        image_std: [0.2, 0.3],
      }),
    ).toEqual({
      width: 32,
      height: 24,
      shortest_edge: 40,
      resample: 0,
      rescale_factor: 0.5,
      normalise: { mean: [0.1, 0.1, 0.1], std: [0.2, 0.3, 0.2] },
    });
    expect(await of({ do_rescale: false, do_normalize: false })).toMatchObject({
      rescale_factor: null,
      normalise: null,
    });
    expect(await of({ size: 24 }, [24, 24])).toMatchObject({ shortest_edge: null });
  });

  it('may make square images of whole patches for a model that interpolates', async () => {
    const read = (config: object) => {
      writeFileSync(path.join(folder, 'preprocessor_config.json'), JSON.stringify(config));
      return readPreprocessor(folder, [518, 518], 14);
    };
    const crop_size = { height: 224, width: 224 };
    const crop = { size: { shortest_edge: 256 }, do_center_crop: true, resample: 3 };
    expect(await read({ ...crop, crop_size })).toMatchObject({
      width: 224,
      height: 224,
      shortest_edge: 256,
      resample: 3,
    });
    expect(await read({})).toMatchObject({ width: 518, height: 518 });
    await expect(read({ ...crop, crop_size: 225 })).rejects.toThrow(
      'as many pixels high as wide, in patches of 14, its image settings make 225 x 225',
    );
    await expect(read({ size: { height: 224, width: 238 } })).rejects.toThrow('make 238 x 224');
  });

  it('must make images of the size that the model reads', async () => {
    await expect(of({ size: { height: 24, width: 33 } })).rejects.toThrow(
      '32 x 24 pixels, its image settings make 33 x 24',
    );
    await expect(of({ size: { height: 25, width: 32 } })).rejects.toThrow('make 32 x 25');
    await expect(of({ size: 24, crop_size: 30, do_center_crop: true }, [24, 24])).rejects.toThrow(
      'make 30 x 30',
    );
    await expect(of({ size: 24, do_center_crop: true }, [24, 24])).resolves.toBeDefined();
    await expect(of({ size: 24, crop_size: 30 }, [24, 24])).resolves.toBeDefined();
  });

  it.each([
    [{ size: 0 }, 'size'],
    [{ size: 1.5 }, 'size'],
    [{ size: 4097 }, 'size'],
    [{ image_std: [1, 0, 1] }, 'image_std'],
    [{ image_std: [] }, 'image_std'],
    [{ image_mean: [1, 1, 1, 1] }, 'image_mean'],
    [{ resample: 6 }, 'resample'],
  ])('%j cannot be used', async (config, key) => {
    await expect(of(config)).rejects.toMatchObject({ area: 'base', place: { key } });
  });
});
