import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, openRegularFile } from '../../common/regularFile';
import { LoraError, type Problem } from '../../shared/errors';
import { fileOf, type TokenizedSet } from '../dataset/tokenizedDataset';
import { headerFault } from './decode';

const MOST_PROBLEMS = 20;
/** Holds the header of most images, after a preview and a colour profile. */
const HEADER_BYTES = 2 ** 16;

/**
 * Checks that the images of a dataset's rows are there, are images and not too large, before a
 * training run that reads them one batch at a time. Damage after the header is found only then.
 *
 * @throws LoraError('dataset') with the first 20 that are not.
 */
export async function checkImages(set: TokenizedSet): Promise<void> {
  const { examples } = set;
  const problems: Problem[] = [];
  for (let i = 0; i < examples.length && problems.length < MOST_PROBLEMS; i++) {
    const example = examples.at(i);
    if (example.kind !== 'captioned' && example.kind !== 'image') return;
    const fault = await faultOf(example.file);
    if (fault === null) continue;
    const place = { file: fileOf(set, i).dataset.path, line: example.line };
    const message = `The image ${example.file} of row ${example.line} cannot be used: ${fault}`;
    problems.push({ severity: 'error', message, place });
  }
  const [first] = problems;
  if (!first) return;
  throw new LoraError('dataset', 'Images of the dataset cannot be read.', {
    ...(first.place && { place: first.place }),
    problems,
    fix: 'Correct the files or their paths, which are relative to the folder of the dataset.',
  });
}

/** A full sentence; null: nothing is wrong. */
async function faultOf(file: string): Promise<string | null> {
  try {
    const { handle, info } = await openRegularFile(file);
    try {
      if (info.size > MAX_BYTES.image) return 'It is too large.';
      const bytes = Buffer.alloc(Math.min(info.size, HEADER_BYTES));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      return headerFault(bytes.subarray(0, bytesRead))?.message ?? null;
    } finally {
      await handle.close();
    }
  } catch (error) {
    return `It cannot be read: ${fileErrorReason(error)}.`;
  }
}
