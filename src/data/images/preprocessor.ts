import path from 'node:path';
import * as v from 'valibot';
import { isNamed } from '../../common/fileStatus';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { resizeImage, type Picture, type Resample } from './resize';

/** How an image becomes the input of a model. */
export interface Preprocessor {
  readonly width: number;
  readonly height: number;
  /** The shorter side is resized to this many pixels, then the center is cropped. Null: no crop. */
  readonly shortest_edge: number | null;
  readonly resample: Resample;
  /** Null: pixels stay 0 to 255. */
  readonly rescale_factor: number | null;
  readonly normalise: { readonly mean: readonly number[]; readonly std: readonly number[] } | null;
}

const FILE = 'preprocessor_config.json';
const side = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4096));
const SizeSchema = v.union(
  [side, v.object({ height: side, width: side }), v.object({ shortest_edge: side })],
  'must be a number of pixels, or an object with height and width or shortest_edge',
);
const three = v.pipe(v.array(v.number()), v.minLength(1), v.maxLength(3));

/** Where a config leaves them out. */
const VIT_DEFAULTS = { mean: [0.5], std: [0.5], center_crop: false, resample: 2 } as const;
const CLIP_DEFAULTS = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
  center_crop: true,
  resample: 3,
} as const;

const ConfigSchema = v.object({
  image_processor_type: v.nullish(v.string()),
  feature_extractor_type: v.nullish(v.string()),
  size: v.nullish(SizeSchema),
  crop_size: v.nullish(SizeSchema),
  resample: v.nullish(v.picklist([0, 1, 2, 3, 4, 5], "must be one of Pillow's filters, 0 to 5")),
  do_resize: v.nullish(v.boolean(), true),
  do_center_crop: v.nullish(v.boolean()),
  do_rescale: v.nullish(v.boolean(), true),
  rescale_factor: v.nullish(v.number(), 1 / 255),
  do_normalize: v.nullish(v.boolean(), true),
  image_mean: v.nullish(three),
  image_std: v.nullish(
    v.pipe(
      three,
      v.check((std) => std.every((s) => s > 0), 'must be above 0'),
    ),
  ),
});

/**
 * Reads preprocessor_config.json of a base, with the defaults of ViT, or of CLIP where the file
 * says that it is CLIP's: there one number as the size is the length of the shorter side.
 *
 * @param size Height and width of the images that the model expects.
 * @param patch The side of a patch, for a model that reads square images of any number of them.
 * @throws LoraError('base') for invalid settings, or a size that the model does not read.
 */
export async function readPreprocessor(
  folder: string,
  size: readonly [number, number],
  patch: number | null = null,
): Promise<Preprocessor> {
  const file = path.join(folder, FILE);
  const config = await readConfig(file);
  const isClip = isOfClip(config);
  const { mean, std, center_crop, resample } = isClip ? CLIP_DEFAULTS : VIT_DEFAULTS;
  const { size: resized, crop_size, do_center_crop } = config;
  const isCropped = do_center_crop ?? center_crop;
  const given = sidesOf(isCropped ? (crop_size ?? resized) : resized);
  if (given) checkSides(given, size, { file, patch });
  const [height, width] = given ?? size;
  return {
    width,
    height,
    shortest_edge: shortestEdge(resized, isClip),
    resample: config.resample ?? resample,
    rescale_factor: config.do_rescale ? config.rescale_factor : null,
    normalise: config.do_normalize
      ? { mean: spread(config.image_mean ?? mean), std: spread(config.image_std ?? std) }
      : null,
  };
}

/** @throws LoraError('base') for invalid settings. */
async function readConfig(file: string): Promise<ImageConfig> {
  const given = (await isNamed(file)) ? await readJsonObject(file, 'base') : {};
  const parsed = v.safeParse(ConfigSchema, given);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const key = (issue.path ?? []).map((item) => String(item.key)).join('.');
  throw new LoraError(
    'base',
    `The model's image settings cannot be used: "${key}" ${ruleOf(issue)}.`,
    { place: { file, key }, fix: 'Correct the file, or download it again.' },
  );
}

type ImageConfig = v.InferOutput<typeof ConfigSchema>;
type Size = v.InferOutput<typeof SizeSchema>;

const isOfClip = ({ image_processor_type, feature_extractor_type }: ImageConfig): boolean =>
  (image_processor_type ?? feature_extractor_type)?.startsWith('CLIP') ?? false;

/** The length of the shorter side after resizing; null: both sides are given. */
function shortestEdge(size: Size | null | undefined, isClip: boolean): number | null {
  if (typeof size === 'number') return isClip ? size : null;
  return size && 'shortest_edge' in size ? size.shortest_edge : null;
}

/** @throws LoraError('base') for a size that the model does not read. */
function checkSides(
  [height, width]: readonly [number, number],
  own: readonly [number, number],
  { file, patch }: { readonly file: string; readonly patch: number | null },
): void {
  if (height === own[0] && width === own[1]) return;
  if (patch !== null && height === width && height % patch === 0) return;
  const reads =
    patch === null
      ? `${own[1]} x ${own[0]} pixels`
      : `as many pixels high as wide, in patches of ${patch}`;
  throw new LoraError(
    'base',
    `The model reads images of ${reads}, its image settings make ${width} x ${height}.`,
    { place: { file, key: 'size' }, fix: 'Download the model again, all of its files.' },
  );
}

function sidesOf(size: Size | null | undefined): readonly [number, number] | null {
  if (typeof size === 'number') return [size, size];
  return size && 'height' in size ? [size.height, size.width] : null;
}

const spread = (values: readonly number[]) =>
  Array.from({ length: 3 }, (_, c) => values[c] ?? values[0]!);

/** The luminance of an image in all three channels, as Pillow's convert('L') rounds it. */
export function grey({ width, height, data }: Picture): Picture {
  const result = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [red, green, blue] = [data[i]!, data[i + 1]!, data[i + 2]!];
    result.fill((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16, i, i + 3);
  }
  return { width, height, data: result };
}

/** An image as input of the model. [3, height, width] */
export function preprocess(picture: Picture, preprocessor: Preprocessor): Float32Array {
  const { width, height, rescale_factor, normalise } = preprocessor;
  const { data } =
    preprocessor.shortest_edge === null
      ? resizeImage(picture, width, height, preprocessor.resample)
      : cropped(
          toShortest(picture, preprocessor.shortest_edge, preprocessor.resample),
          width,
          height,
        );
  const pixels = new Float32Array(3 * width * height);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < width * height; i++) {
      const value =
        rescale_factor === null ? data[i * 3 + c]! : Math.fround(data[i * 3 + c]! * rescale_factor);
      pixels[c * width * height + i] = normalise
        ? (value - normalise.mean[c]!) / normalise.std[c]!
        : value;
    }
  }
  return pixels;
}

function toShortest(picture: Picture, edge: number, resample: Resample): Picture {
  const { width, height } = picture;
  return width <= height
    ? resizeImage(picture, edge, Math.trunc((edge * height) / width), resample)
    : resizeImage(picture, Math.trunc((edge * width) / height), edge, resample);
}

/** Crops the center; where the image is smaller, the border is black. */
function cropped({ width, height, data }: Picture, toWidth: number, toHeight: number): Picture {
  const [left, top] = [Math.trunc((width - toWidth) / 2), Math.trunc((height - toHeight) / 2)];
  const result = new Uint8Array(toWidth * toHeight * 3);
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      const [fromX, fromY] = [x + left, y + top];
      if (fromX < 0 || fromY < 0 || fromX >= width || fromY >= height) continue;
      const from = (fromY * width + fromX) * 3;
      result.set(data.subarray(from, from + 3), (y * toWidth + x) * 3);
    }
  }
  return { width: toWidth, height: toHeight, data: result };
}
