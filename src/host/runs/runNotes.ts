import path from 'node:path';
import * as v from 'valibot';
import { replaceFile } from '../../common/atomicWrite';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { NOTES_FILE } from '../../shared/run';
import { t } from '../text/l10n';
import { readJson } from '../files/readJson';

/** What the user has noted about a run. Only the engine writes run.json, so it has its own file. */
export interface RunNotes {
  /** Replaces the run's original name unless it is empty. */
  readonly name: string;
  readonly tags: readonly string[];
  readonly note: string;
}

/** The notes of a run without a notes file. */
export const NO_NOTES: RunNotes = { name: '', tags: [], note: '' };

const NotesSchema = v.object({
  name: v.optional(v.string(), ''),
  tags: v.optional(v.array(v.string()), []),
  note: v.optional(v.string(), ''),
});

/** Reads the notes of a run; `NO_NOTES` when there are none or they cannot be read. */
export async function readNotes(dir: string): Promise<RunNotes> {
  try {
    const text = await readTextFile(path.join(dir, NOTES_FILE), {
      maxBytes: MAX_BYTES.smallRecord,
      links: 'refused',
    });
    return v.parse(NotesSchema, JSON.parse(text));
  } catch {
    return NO_NOTES;
  }
}

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
