import path from 'node:path';
import type { FileHandle } from 'node:fs/promises';
import { writeErrorReason } from '../../common/fileStatus';
import { openForAppending } from '../../common/withoutLinks';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';

/**
 * Appends rows to a .jsonl file, which is made if it is missing. Either all of them are in it
 * afterwards, or none.
 *
 * @param rows JSON, each on one line.
 * @throws LoraError('disk') where the file cannot be written, is a link or no .jsonl file
 */
export async function appendRows(file: string, rows: readonly string[]): Promise<void> {
  const refused = (reason: string, cause?: unknown) =>
    new LoraError('disk', t('The rows cannot be appended: {0}.', reason), {
      place: { file },
      ...(cause !== undefined && { cause }),
    });
  if (path.extname(file).toLowerCase() !== '.jsonl')
    throw refused(t('the name of the file must end with .jsonl'));
  if (rows.some((row) => /[\r\n]/.test(row))) throw refused(t('a row has several lines'));
  try {
    const handle = await openForAppending(file);
    try {
      await writeAtEnd(handle, rows);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw refused(writeErrorReason(error), error);
  }
}

/** A file that does not end with a line break gets one first. */
async function writeAtEnd(handle: FileHandle, rows: readonly string[]): Promise<void> {
  const { size } = await handle.stat();
  const last = Buffer.alloc(1);
  if (size > 0) await handle.read(last, 0, 1, size - 1);
  const isOpen = size > 0 && last.toString('latin1') !== '\n';
  const text = `${isOpen ? '\n' : ''}${rows.map((row) => `${row}\n`).join('')}`;
  try {
    await handle.writeFile(text);
    await handle.sync();
  } catch (error) {
    await handle.truncate(size).catch(() => undefined);
    throw error;
  }
}
