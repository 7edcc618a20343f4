import path from 'node:path';
import { isNamed } from '../common/fileStatus';
import { LoraError } from '../shared/errors';
import { readJsonObject } from './json';

/** How the vectors of a text's tokens become one, as sentence-transformers writes it. */
const POOLING = path.join('1_Pooling', 'config.json');
const MEAN = 'pooling_mode_mean_tokens';

/**
 * Refuses a folder whose sentence embeddings are not the mean of all tokens, such as bge's, which
 * are the first token's. A folder that does not say it is accepted.
 *
 * @throws LoraError('base') naming the file and its key
 */
export async function refuseOtherPooling(folder: string): Promise<void> {
  const file = path.join(folder, POOLING);
  if (!(await isNamed(file))) return;
  const config = await readJsonObject(file, 'base');
  const modes = Object.keys(config).filter((key) => /^pooling_mode_/.test(key) && config[key]);
  const other = modes.find((key) => key !== MEAN);
  if (other === undefined) return;
  throw new LoraError(
    'base',
    `The model's sentence embeddings are pooled by ${other}; only the mean of all tokens is supported.`,
    { place: { file, key: other }, fix: `Choose a model with ${MEAN}, such as all-MiniLM-L6-v2.` },
  );
}
