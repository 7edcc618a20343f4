import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { MAX_BYTES } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import { parseTune, TUNE_FILE, type TuneRecord } from '../../shared/tune/record';
import { readJsonObject } from '../json';

/** How far a tune is. @throws LoraError('run') when its file cannot be read */
export async function readTune(folder: string): Promise<TuneRecord> {
  const file = path.join(folder, TUNE_FILE);
  const value = await readJsonObject(file, 'run', {
    maxBytes: MAX_BYTES.writtenByPeople,
    links: 'refused',
  });
  return parseTune(value, file);
}

/** Replaces tune.json. */
export async function writeTune(folder: string, tune: TuneRecord): Promise<void> {
  const file = path.join(folder, TUNE_FILE);
  await refuseLinks(file, folder);
  await writeJson(file, tune);
}
