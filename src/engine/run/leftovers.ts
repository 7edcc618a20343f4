import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { refuseLinks, removeWithin } from '../../common/withoutLinks';
import { RUN_FILES } from '../../shared/run';

/** NAME.123.tmp and .NAME.1a2b.123.tmp were being written when their process was killed. */
const UNFINISHED = /^.+\.\d+\.tmp$/;
/** NAME.123.old was being replaced. */
const REPLACED = /^(.+)\.\d+\.old$/;

/**
 * Removes the half-written files of a killed engine from a run that no engine owns, and restores
 * what was being replaced if the new version is missing. Ignores errors: leftovers are harmless.
 */
export async function clearLeftovers(runDir: string): Promise<void> {
  for (const folder of [runDir, path.join(runDir, RUN_FILES.checkpoints)]) {
    const names = await refuseLinks(folder, runDir)
      .then(() => readdir(folder))
      .catch((): string[] => []);
    for (const name of names) {
      const file = path.join(folder, name);
      const replaced = REPLACED.exec(name)?.[1];
      if (replaced !== undefined && !(await pathExists(path.join(folder, replaced))))
        await withRetries(() => rename(file, path.join(folder, replaced))).catch(() => undefined);
      else if (replaced !== undefined || UNFINISHED.test(name))
        await removeWithin(file, runDir).catch(() => undefined);
    }
  }
}
