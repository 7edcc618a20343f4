import path from 'node:path';
import { createFolder, replaceFile } from '../../common/atomicWrite';
import { writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { MAX_BYTES } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { parseSweep, SWEEP_FILE, type SweepRecord } from '../../shared/sweep/record';
import type { Variant } from '../../shared/sweep/variants';
import type { VariedKey } from '../../shared/sweep/vary';
import { readJsonObject } from '../json';
import { keepRunsOutOfGit } from './gitIgnore';

/** What a new sweep is made from. */
export interface NewSweep {
  /** The recipe that is varied. */
  readonly recipe: string;
  readonly varied: readonly VariedKey[];
  readonly variants: readonly Variant[];
  readonly target: string | null;
  readonly parallel: number;
}

/**
 * Writes the recipes of a sweep and what it varies into a new folder.
 *
 * @throws LoraError('disk'), LoraError('usage') when the folder has files already
 */
export async function writeSweep(folder: string, sweep: NewSweep): Promise<SweepRecord> {
  const { recipe, varied, variants, target, parallel } = sweep;
  const record: SweepRecord = {
    version: 1,
    recipe: path.basename(recipe),
    created: new Date().toISOString(),
    vary: varied.map(({ key, values }) => ({ key, values: [...values] })),
    target,
    parallel,
    runs: variants.map(({ file, name, values }) => ({ recipe: file, name, values: [...values] })),
  };
  await makeFolder(path.dirname(folder)).catch((cause: unknown) => {
    throw new LoraError('disk', `The sweep cannot be written: ${writeErrorReason(cause)}.`, {
      place: { file: folder },
      fix: 'Make the folder writable, or choose another one.',
      cause,
    });
  });
  await keepRunsOutOfGit(folder);
  await createFolder(folder, async (temp) => {
    for (const variant of variants) await writeText(temp, variant.file, variant.recipe);
    await writeText(temp, SWEEP_FILE, record);
  });
  return record;
}

const writeText = (folder: string, name: string, value: unknown): Promise<void> =>
  replaceFile(path.join(folder, name), `${JSON.stringify(value, null, 2)}\n`);

/** What a sweep varies. @throws LoraError('run') when its file cannot be read */
export async function readSweep(folder: string): Promise<SweepRecord> {
  const file = path.join(folder, SWEEP_FILE);
  const value = await readJsonObject(file, 'run', {
    maxBytes: MAX_BYTES.writtenByPeople,
    links: 'refused',
  });
  return parseSweep(value, file);
}
