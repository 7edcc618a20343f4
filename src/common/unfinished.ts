import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { escapeRegExp } from '../shared/values';
import { isProcessAlive } from './system';

/**
 * Removes what killed jobs left beside the same output: NAME.123.tmp and .NAME.1a2b.123.tmp, where
 * 123 is the process.
 */
export async function clearUnfinished(output: string): Promise<void> {
  const folder = path.dirname(path.resolve(output));
  const name = escapeRegExp(path.basename(output));
  const unfinished = new RegExp(`^(?:${name}|\\.${name}\\.[0-9a-f]+)\\.(\\d+)\\.tmp$`);
  for (const entry of await readdir(folder).catch((): string[] => [])) {
    const [, pid] = unfinished.exec(entry) ?? [];
    if (pid !== undefined && !isProcessAlive(Number(pid))) {
      await rm(path.join(folder, entry), { recursive: true, force: true });
    }
  }
}
