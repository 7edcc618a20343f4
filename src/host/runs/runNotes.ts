import { open } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFile } from '../../common/atomicWrite';
import { t } from '../text/l10n';
import { readJson } from '../files/readJson';

/** In the run's folder, beside what the engine writes there. */
export const NOTES_FILE = 'notes.json';

/** What a person says of a run: run.json is the engine's alone. */
export interface RunNotes {
  /** Instead of the name that the run began with; empty: that name. */
  readonly name: string;
  readonly tags: readonly string[];
  readonly note: string;
}

export const NO_NOTES: RunNotes = { name: '', tags: [], note: '' };
const MAX_BYTES = 65_536;

const NotesSchema = v.object({
  name: v.optional(v.string(), ''),
  tags: v.optional(v.array(v.string()), []),
  note: v.optional(v.string(), ''),
});

/** None where there are none, or where they can't be read: a run is shown all the same. */
export async function readNotes(dir: string): Promise<RunNotes> {
  const handle = await open(path.join(dir, NOTES_FILE)).catch(() => null);
  if (!handle) return NO_NOTES;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
    return v.parse(NotesSchema, JSON.parse(buffer.toString('utf8', 0, bytesRead)));
  } catch {
    return NO_NOTES;
  } finally {
    await handle.close();
  }
}

/** Errors: LoraError('disk'), also where what is there cannot be read: it stays. */
export async function writeNotes(dir: string, notes: RunNotes): Promise<void> {
  const file = path.join(dir, NOTES_FILE);
  await readJson(file, NotesSchema, NO_NOTES);
  await replaceFile(file, `${JSON.stringify(notes, null, 2)}\n`, (reason) => ({
    message: t('The notes cannot be written: {0}.', reason),
  }));
}

/** "small, git" -> small and git, each once. */
export const parseTags = (text: string): string[] => [
  ...new Set(text.split(/[\s,]+/).filter(Boolean)),
];
