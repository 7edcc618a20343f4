import path from 'node:path';
import { rowImagesOf } from '../../data/dataset/prepare';
import type { RowImages } from '../../data/examples/rowImages';
import { openChatImages } from '../../data/images/chatImages';
import { isEmbedded } from '../../data/images/embedded';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError, type Problem } from '../../shared/errors';
import { imagesOfSuiteRow } from '../../shared/evaluation/suite';
import type { SuiteCase } from './suiteFile';

/** What reads the images of a suite's rows, by the file of the suite. */
export type SuiteImages = (file: string) => RowImages;

const MOST_PROBLEMS = 20;

/**
 * The reader of suites' images. The header of each image is read.
 *
 * @throws LoraError('dataset') for a row with images where the base reads none, and for images that
 *   cannot be read
 */
export async function openSuiteImages(
  cases: readonly SuiteCase[],
  base: Pick<BaseModel, 'spec' | 'path'>,
): Promise<SuiteImages> {
  const reading = { chat_images: await openChatImages(base), family: base.spec.family };
  const problems: Problem[] = [];
  for (const { file, line, row } of cases) {
    for (const { image } of imagesOfSuiteRow(row)) {
      const message = imageFault(image, file, rowImagesOf(file, reading));
      if (message !== null) problems.push({ severity: 'error', message, place: { file, line } });
    }
    if (problems.length >= MOST_PROBLEMS) break;
  }
  const [first] = problems;
  if (!first) return (file) => rowImagesOf(file, reading);
  throw new LoraError(
    'dataset',
    problems.length === 1 ? first.message : 'Images of the suite cannot be used.',
    { ...(first.place && { place: first.place }), ...(problems.length > 1 && { problems }) },
  );
}

/** A full sentence; null: nothing is wrong. */
function imageFault(image: string, suite: string, images: RowImages): string | null {
  if ('refused' in images) return `${images.refused}.`;
  try {
    images.reader.gridOf(isEmbedded(image) ? image : path.resolve(path.dirname(suite), image));
    return null;
  } catch (error) {
    return LoraError.from(error, 'dataset').message;
  }
}
