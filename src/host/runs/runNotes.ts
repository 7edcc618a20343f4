import path from 'node:path';
import { replaceFile } from '../../common/atomicWrite';
import { NotesSchema, NO_NOTES, type RunNotes } from '../../formats/run/notes';
import { NOTES_FILE } from '../../shared/run';
import { t } from '../text/l10n';
import { readJson } from '../files/readJson';

export { NO_NOTES, readNotes, type RunNotes } from '../../formats/run/notes';

/**
 * Writes the notes of a run.
 *
 * @throws LoraError('disk') when they cannot be written, or the existing file cannot be read and
 *   would be lost.
 */
export async function writeNotes(dir: string, notes: RunNotes): Promise<void> {
  const file = path.join(dir, NOTES_FILE);
  await readJson(file, NotesSchema, NO_NOTES);
  await replaceFile(file, `${JSON.stringify(notes, null, 2)}\n`, (reason) => ({
    message: t('The notes cannot be written: {0}.', reason),
  }));
}

/** Parses tags separated by commas or spaces; each once. */
export const parseTags = (text: string): string[] => [
  ...new Set(text.split(/[\s,]+/).filter(Boolean)),
];
