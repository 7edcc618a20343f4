import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { reason } from '../formats/files';
import { LoraError } from '../shared/errors';

/**
 * Writes the whole file or nothing. `failed`: what to say, given the reason. Errors:
 * LoraError('disk').
 */
export async function writeWhole(
  file: string,
  text: string,
  failed: (reason: string) => { readonly message: string; readonly fix?: string },
): Promise<void> {
  const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    const { message, fix } = failed(reason(cause));
    throw new LoraError('disk', message, {
      place: { file },
      cause,
      ...(fix !== undefined && { fix }),
    });
  }
}
