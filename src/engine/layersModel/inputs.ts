import path from 'node:path';
import { isNamed } from '../../common/fileStatus';
import { readImageFile } from '../../data/images/reader';
import {
  grey,
  preprocess,
  readPreprocessor,
  type Preprocessor,
} from '../../data/images/preprocessor';
import type { LayersModelFile } from '../../formats/layersModel/file';
import { fixedInputShape, isImageShape } from '../../formats/layersModel/kernels';
import { topologyLayers } from '../../formats/layersModel/modules';
import { LoraError } from '../../shared/errors';

/** The numbers that black and white pixels become. */
export type PixelRange = readonly [black: number, white: number];

/** How images become inputs of a layers model. */
export interface ImageInput {
  /** Null: preprocessor_config.json says it. */
  readonly range: PixelRange | null;
  readonly preprocessor: Preprocessor;
  /** 1: grey; 3: red, green, blue. */
  readonly channels: 1 | 3;
}

/** What a model's rows are, without the batch. */
export interface LayersInput {
  readonly shape: readonly number[];
  /** Null: rows of numbers. */
  readonly image: ImageInput | null;
}

/**
 * What rows a model reads: images or numbers.
 *
 * @param range What the recipe or the adapter says; null: preprocessor_config.json beside the
 *   model, else 0 to 1, or 0 to 255 where the model begins with a Rescaling layer.
 * @throws LoraError('base') for sizes that vary, or images of other channels
 */
export async function inputOf(
  file: LayersModelFile,
  isImage: boolean,
  range: PixelRange | null,
): Promise<LayersInput> {
  const sides = fixedInputShape(file);
  if (!isImage) return { shape: sides, image: null };
  const [height, width, channels] = sides;
  if (!isImageShape(sides))
    throw new LoraError(
      'base',
      `The model reads [${sides.join(', ')}], which is not an image of height, width and 1 or 3 channels.`,
      {
        place: { file: file.path, key: 'modelTopology' },
        fix: 'Use the task features for rows of numbers.',
      },
    );
  const size = [height!, width!] as const;
  const folder = path.dirname(file.path);
  const hasConfig = range === null && (await isNamed(path.join(folder, PREPROCESSOR_FILE)));
  const own = hasConfig ? null : (range ?? usualRange(file));
  const preprocessor = own ? scaled(size, own) : await readPreprocessor(folder, size);
  return { shape: sides, image: { range: own, channels: channels === 1 ? 1 : 3, preprocessor } };
}

const PREPROCESSOR_FILE = 'preprocessor_config.json';

function scaled(
  [height, width]: readonly [number, number],
  [black, white]: PixelRange,
): Preprocessor {
  const [mean, std] = [-black / (white - black), 1 / (white - black)];
  const isPlain = black === 0 && white === 1;
  return {
    width,
    height,
    shortest_edge: null,
    resample: 2,
    rescale_factor: 1 / 255,
    normalise: isPlain ? null : { mean: [mean, mean, mean], std: [std, std, std] },
  };
}

/** Models with a Rescaling layer get pixels as they are. */
const usualRange = (file: LayersModelFile): PixelRange =>
  topologyLayers(file).some(({ class_name }) => class_name === 'Rescaling') ? [0, 255] : [0, 1];

/** An image as the input of a model. [height, width, channels] */
export async function readImageInput(
  file: string,
  { preprocessor, channels }: ImageInput,
): Promise<Float32Array> {
  const picture = await readImageFile(file);
  const planes = preprocess(channels === 1 ? grey(picture) : picture, preprocessor); // [3, h, w]
  const pixels = planes.length / 3;
  const input = new Float32Array(pixels * channels);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < pixels; i++) input[i * channels + c] = planes[c * pixels + i]!;
  return input;
}
