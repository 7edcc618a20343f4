import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { reason } from '../formats/files';
import { LoraError } from '../shared/errors';

const BUSY: ReadonlySet<string> = new Set(['EPERM', 'EBUSY', 'EACCES']);
const TRIES = 5;

/** Writes JSON under a temporary name, flushed, then renamed. On Windows a reader may hold the target for a moment: tried again. Errors: LoraError('disk'). */
export async function writeJson(file: string, value: unknown): Promise<void> {
  const temp = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  try {
    await writeFile(temp, `${JSON.stringify(value, null, 2)}\n`, { flush: true });
    await renameWithPatience(temp, file);
  } catch (error) {
    throw new LoraError('disk', `The file could not be written: ${reason(error)}.`, { place: { file }, cause: error });
  }
}

async function renameWithPatience(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rename(from, to); return;
    } catch (error) {
      if (attempt === TRIES || !BUSY.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      await wait(20 * 2 ** attempt);
    }
  }
}
