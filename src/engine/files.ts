import { replaceFile } from '../formats/files';

/**
 * Writes JSON under a temporary name, flushed, then renamed. Errors: LoraError('disk'); the old
 * file stays, nothing half-written is left.
 */
export async function writeJson(file: string, value: unknown): Promise<void> {
  await replaceFile(file, async (handle) => {
    await handle.writeFile(`${JSON.stringify(value, null, 2)}\n`);
  });
}
