import path from 'node:path';
import * as v from 'valibot';
import { fileErrorReason, isNamed } from '../../common/fileStatus';
import { MAX_BYTES, readRegularFileNow } from '../../common/regularFile';
import type { VisionSpec } from '../../formats/architecture/spec';
import type { BaseModel } from '../../formats/baseModel';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { isObject } from '../../shared/values';
import { embeddedBytes, imageName, isEmbedded } from './embedded';
import { imageSize } from './imageHeader';
import { KeptPictures } from './keptPictures';
import {
  gridOf,
  patchSamples,
  resizedPicture,
  type PatchGrid,
  type PatchSettings,
} from './patches';
import { readImageFile } from './reader';
import type { Picture } from './resize';

/** Reads images of chats as inputs of a model's tower. */
export interface ChatImages {
  /** The token that stands for an image's vectors. */
  readonly image_token: number;
  /** The side of a square of patches that becomes one token. */
  readonly merge: number;
  /** How images become patches. @throws LoraError('base') for settings that cannot be used */
  readonly settings: () => PatchSettings;
  /** The patches of an image, by its header. @throws LoraError for an unreadable image */
  readonly gridOf: (file: string) => PatchGrid;
  /** See `patchSamples`. Rejects with LoraError('dataset') for an unreadable image. */
  readonly samples: (file: string, grid: PatchGrid) => Promise<Float32Array>;
}

/** Tokens that an image takes. */
export const tokensOfGrid = ({ height, width }: PatchGrid, merge: number): number =>
  (height * width) / merge ** 2;

/**
 * The reader for the images of a base's chats; null: the base reads none. Faults of the base's
 * settings are thrown when an image is read, because texts alone need none.
 */
export async function openChatImages({
  spec,
  path: folder,
}: Pick<BaseModel, 'spec' | 'path'>): Promise<ChatImages | null> {
  const { vision } = spec;
  if (!vision) return null;
  const settings = await readSettings(folder, vision, spec.hidden_size).catch((error: unknown) =>
    LoraError.from(error, 'base'),
  );
  const known = (): PatchSettings => {
    if (settings instanceof LoraError) throw settings;
    return settings;
  };
  const pictures = new KeptPictures();
  const resizedTo = async (file: string, grid: PatchGrid): Promise<Picture> => {
    const picture = await readImageFile(file);
    const own = gridOf(picture, known());
    if (own.height !== grid.height || own.width !== grid.width)
      throw unreadable(file, 'it has another size than when the data were read');
    return resizedPicture(picture, grid, known());
  };
  return {
    image_token: vision.image_token,
    merge: vision.merge,
    settings: known,
    gridOf: (file) => gridOfFile(file, known()),
    samples: async (file, grid) => {
      const picture = await pictures.of(file, () => resizedTo(file, grid));
      const { patch } = known();
      if (picture.width !== grid.width * patch || picture.height !== grid.height * patch)
        throw unreadable(file, 'it has another size than when the data were read');
      return patchSamples(picture, grid, known());
    },
  };
}

/** Patches of an image, at most, by a base's settings. Undefined: they are not known. */
export async function mostPatches(
  base: Pick<BaseModel, 'spec' | 'path'>,
): Promise<number | undefined> {
  const images = await openChatImages(base);
  try {
    return images ? patchesOf(images.settings()) : undefined;
  } catch {
    return undefined; // reading an image says why
  }
}

const patchesOf = ({ max_pixels, patch, merge }: PatchSettings): number =>
  merge ** 2 * Math.max(1, Math.floor(max_pixels / (patch * merge) ** 2));

function gridOfFile(file: string, settings: PatchSettings): PatchGrid {
  const bytes = bytesOf(file);
  try {
    return gridOf(imageSize(bytes), settings);
  } catch (error) {
    throw unreadable(file, error instanceof Error ? error.message : String(error));
  }
}

function bytesOf(file: string): Buffer {
  if (isEmbedded(file)) return embeddedBytes(file);
  try {
    return readRegularFileNow(file, MAX_BYTES.image);
  } catch (error) {
    throw unreadable(file, fileErrorReason(error));
  }
}

const unreadable = (file: string, reason: string) =>
  new LoraError('dataset', `The image ${imageName(file)} cannot be read: ${reason}.`, {
    ...(!isEmbedded(file) && { place: { file } }),
  });

const pixels = v.pipe(v.number(), v.integer(), v.minValue(1));
const three = v.pipe(v.array(v.number()), v.length(3));
const side = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024));

const SettingsSchema = v.object({
  size: v.nullish(v.object({ shortest_edge: v.nullish(pixels), longest_edge: v.nullish(pixels) })),
  min_pixels: v.nullish(pixels),
  max_pixels: v.nullish(pixels),
  patch_size: v.nullish(side),
  temporal_patch_size: v.nullish(side),
  merge_size: v.nullish(side),
  resample: v.nullish(v.picklist([0, 1, 2, 3, 4, 5], "must be one of Pillow's filters, 0 to 5"), 3),
  do_resize: v.nullish(v.literal(true, 'must be true')),
  do_rescale: v.nullish(v.boolean(), true),
  rescale_factor: v.nullish(v.number(), 1 / 255),
  do_normalize: v.nullish(v.boolean(), true),
  image_mean: v.nullish(three, [0.48145466, 0.4578275, 0.40821073]),
  image_std: v.nullish(
    v.pipe(
      three,
      v.check((std) => std.every((s) => s > 0), 'must be above 0'),
    ),
    [0.26862954, 0.26130258, 0.27577711],
  ),
});

/** Where a file leaves them out. */
const [MIN_PIXELS, MAX_PIXELS] = [56 ** 2, 28 ** 2 * 1280];

const FILE = 'preprocessor_config.json';

/**
 * The settings of preprocessor_config.json, or of processor_config.json of transformers 5, with the
 * defaults of Qwen2VLImageProcessor.
 *
 * @throws LoraError('base') where they are missing, invalid, or those of another model
 */
async function readSettings(
  folder: string,
  vision: VisionSpec,
  hidden_size: number,
): Promise<PatchSettings> {
  const { file, config } = await configOf(folder);
  const parsed = v.safeParse(SettingsSchema, config);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const key = (issue.path ?? []).map((item) => String(item.key)).join('.');
    throw unusable(file, key, ruleOf(issue));
  }
  const own = parsed.output;
  checkSizes(own, file, vision, hidden_size);
  const min_pixels = own.min_pixels ?? own.size?.shortest_edge ?? MIN_PIXELS;
  const max_pixels = own.max_pixels ?? own.size?.longest_edge ?? MAX_PIXELS;
  if (min_pixels > max_pixels)
    throw unusable(file, 'size', `has at least ${min_pixels}, but at most ${max_pixels} pixels`);
  return {
    patch: vision.patch,
    merge: vision.merge,
    frames: vision.frames,
    min_pixels,
    max_pixels,
    resample: own.resample,
    rescale_factor: own.do_rescale ? own.rescale_factor : null,
    normalise: own.do_normalize ? { mean: own.image_mean, std: own.image_std } : null,
  };
}

/** @throws LoraError('base') for settings of another model */
function checkSizes(
  own: v.InferOutput<typeof SettingsSchema>,
  file: string,
  vision: VisionSpec,
  hidden_size: number,
): void {
  const sizes = [
    ['patch_size', own.patch_size ?? 14, vision.patch],
    ['temporal_patch_size', own.temporal_patch_size ?? 2, vision.frames],
    ['merge_size', own.merge_size ?? 2, vision.merge],
  ] as const;
  for (const [key, have, want] of sizes)
    if (have !== want) throw unusable(file, key, `is ${have}, but the model's is ${want}`);
  if (vision.channels !== 3) throw unusable(file, 'in_channels', 'of the model must be 3');
  if (vision.merger.down.out_features !== hidden_size)
    throw unusable(file, 'out_hidden_size', `of the model must be ${hidden_size}`);
}

async function configOf(
  folder: string,
): Promise<{ readonly file: string; readonly config: Readonly<Record<string, unknown>> }> {
  const file = path.join(folder, FILE);
  if (await isNamed(file)) return { file, config: await readJsonObject(file, 'base') };
  const other = path.join(folder, 'processor_config.json');
  const whole = (await isNamed(other)) ? await readJsonObject(other, 'base') : {};
  const config = whole['image_processor'];
  if (isObject(config)) return { file: other, config };
  throw new LoraError('base', `The model's image settings are missing: it has no ${FILE}.`, {
    place: { file: folder },
    fix: 'Download the model again, all of its files.',
  });
}

const unusable = (file: string, key: string, what: string) =>
  new LoraError('base', `The model's image settings cannot be used: "${key}" ${what}.`, {
    place: { file, key },
    fix: 'Correct the file, or download it again.',
  });
