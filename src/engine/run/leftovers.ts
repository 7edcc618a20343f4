import { readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathExists } from '../../common/fileStatus';
import { RUN_FILES } from '../../shared/run';

/**
 * NAME.123.tmp and .NAME.1a2b.123.tmp were being written when their process was killed; NAME.123.old was
 * being replaced.
 */
const UNFINISHED = /^.+\.\d+\.tmp$/;
const REPLACED = /^(.+)\.\d+\.old$/;

/**
 * Clears what a killed engine left half-written in a run that nobody owns; what cannot be cleared
 * harms nobody. What it was replacing comes back where nothing whole has taken its place.
 */
export async function clearLeftovers(runDir: string): Promise<void> {
  for (const folder of [runDir, path.join(runDir, RUN_FILES.checkpoints)]) {
    for (const name of await readdir(folder).catch((): string[] => [])) {
      const file = path.join(folder, name);
      const replaced = REPLACED.exec(name)?.[1];
      if (replaced !== undefined && !(await pathExists(path.join(folder, replaced))))
        await rename(file, path.join(folder, replaced)).catch(() => undefined);
      else if (replaced !== undefined || UNFINISHED.test(name))
        await rm(file, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}
