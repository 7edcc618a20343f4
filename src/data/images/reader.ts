import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, readRegularFile } from '../../common/regularFile';
import { imageLengthOf } from '../../formats/architecture/positions';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { decodeImage } from './decode';
import { embeddedBytes, imageName, isEmbedded } from './embedded';
import { preprocess, readPreprocessor } from './preprocessor';
import type { Picture } from './resize';

/** Reads images as inputs of a model. */
export interface ImageReader {
  /** Positions that an image takes: its patches, and the class token if there is one. */
  readonly length: number;
  /** [3, height, width]. Rejects with LoraError('dataset') for an unreadable image. */
  readonly read: (file: string) => Promise<Float32Array>;
}

/**
 * The reader for a base model.
 *
 * @throws LoraError('base') where the model does not take RGB images, or its settings are invalid.
 */
export async function openImages({
  spec,
  path,
}: Pick<BaseModel, 'spec' | 'path'>): Promise<ImageReader> {
  const { embedding } = spec;
  if (embedding.kind !== 'patches')
    throw new LoraError('base', `A ${spec.family} model does not read images.`, {
      place: { file: path },
      fix: 'Choose an image model, such as ViT.',
    });
  if (embedding.channels !== 3)
    throw new LoraError(
      'base',
      `The model reads images of ${countOf(embedding.channels, 'channel')}, but only images of three channels are supported.`,
      { place: { file: path } },
    );
  const {
    image_size,
    patch_size: [ph],
    interpolates,
  } = embedding;
  const how = await readPreprocessor(path, image_size, interpolates ? ph : null);
  return {
    length: imageLengthOf(embedding, [how.height, how.width]),
    read: async (file) => {
      const picture = await readImageFile(file);
      try {
        return preprocess(picture, how);
      } catch (error) {
        throw unreadable(file, error);
      }
    },
  };
}

/**
 * Reads and decodes an image, a file or a data: URL. Rejects with LoraError('dataset') for an
 * unreadable one.
 */
export async function readImageFile(file: string): Promise<Picture> {
  if (isEmbedded(file)) return decodeEmbedded(file);
  const bytes = await readRegularFile(file, { maxBytes: MAX_BYTES.image }).catch(
    (error: unknown) => {
      throw unreadable(file, error);
    },
  );
  return decodeImage(bytes, file);
}

/** The name is in the message: it is not the place of a file. */
function decodeEmbedded(image: string): Picture {
  const name = imageName(image);
  try {
    return decodeImage(embeddedBytes(image), name);
  } catch (error) {
    const { message } = LoraError.from(error, 'dataset');
    throw new LoraError('dataset', `${name}: ${message}`, {
      fix: 'Encode it again, as PNG or JPEG.',
      cause: error,
    });
  }
}

const unreadable = (file: string, error: unknown) =>
  new LoraError('dataset', `The image cannot be read: ${fileErrorReason(error)}.`, {
    place: { file },
    cause: error,
  });
