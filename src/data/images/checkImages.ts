import { stat } from 'node:fs/promises';
import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES } from '../../common/regularFile';
import { LoraError, type Problem } from '../../shared/errors';
import type { CaptionedExample } from '../examples/example';
import { fileOf, type TokenizedSet } from '../dataset/tokenizedDataset';

const MOST_PROBLEMS = 20;

/**
 * Checks that the images of a dataset's rows are there, before a training that reads them one batch
 * at a time.
 *
 * @throws LoraError('dataset') with the first 20 that are not.
 */
export async function checkImages(set: TokenizedSet): Promise<void> {
  const { examples } = set;
  const problems: Problem[] = [];
  for (let i = 0; i < examples.length && problems.length < MOST_PROBLEMS; i++) {
    const example = examples.at(i);
    if (example.kind !== 'captioned') return;
    const fault = await faultOf(example);
    if (fault === null) continue;
    const place = { file: fileOf(set, i).dataset.path, line: example.line };
    const message = `The image ${example.file} cannot be read: ${fault}.`;
    problems.push({ severity: 'error', message, place });
  }
  const [first] = problems;
  if (!first) return;
  throw new LoraError('dataset', 'Images of the dataset cannot be read.', {
    ...(first.place && { place: first.place }),
    problems,
    fix: 'Correct the paths, which are relative to the folder of the dataset.',
  });
}

async function faultOf({ file }: CaptionedExample): Promise<string | null> {
  try {
    const info = await stat(file);
    if (!info.isFile()) return 'it is no file';
    return info.size > MAX_BYTES.image ? 'it is too large' : null;
  } catch (error) {
    return fileErrorReason(error);
  }
}
