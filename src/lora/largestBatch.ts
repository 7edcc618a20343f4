import type { ImageCounts } from '../shared/imageCounts';
import type { Recipe } from '../shared/recipe';
import { roundedUp } from '../shared/roundedSizes';
import type { StepImages } from '../shared/stepMemory';
import type { BatchShape } from './memory';
import type { ModelSize } from './modelSize';

/** What the rows of the training and of the validation set decide of a batch. */
export interface RowSizes {
  /** Of the training set. */
  readonly examples: number;
  /** Tokens of the longest one. */
  readonly longest: number;
  /** The most sequences that the model reads for one. */
  readonly sequences: number;
  readonly images?: ImageCounts | undefined;
}

/**
 * The largest batch of a training run, as its rows are padded.
 *
 * @param fixed The length of each row, whatever its text is; null: rows have their own.
 */
export function largestBatch(
  { task, training }: Pick<Recipe, 'task' | 'training'>,
  { examples, longest, sequences, images }: RowSizes,
  fixed: number | null,
): BatchShape {
  const { max_length } = training;
  const rows = Math.min(training.per_device_train_batch_size, examples) * sequences;
  if (task === 'image_cls') return { rows, length: longest };
  if (fixed !== null) return { rows, length: fixed };
  if (training.packing) return { rows, length: max_length };
  return { rows, length: Math.min(max_length, roundedUp(longest, max_length)), images };
}

/**
 * The images of chats whose rows are not known: as large as the base's image settings make them and
 * as a row has room for, and as many as are kept. Undefined: the base reads none.
 *
 * @param most Patches of an image by these settings.
 */
export function assumedImages(
  { vision }: Pick<ModelSize, 'vision'>,
  length: number,
  most = Infinity,
): ImageCounts | undefined {
  return vision && { largest: Math.min(most, length * vision.patches), tokens: Infinity };
}

/** The images that a step is estimated with, as they are shown. Undefined: none. */
export const shownImages = (
  { vision }: Pick<ModelSize, 'vision'>,
  images: ImageCounts | undefined,
  from: StepImages['from'],
): StepImages | undefined => vision && images && { tokens: images.largest / vision.patches, from };
