import path from 'node:path';
import * as v from 'valibot';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { NOTES_FILE } from '../../shared/run';

/** What the user has noted about a run. Only the engine writes run.json, so it has its own file. */
export interface RunNotes {
  /** Replaces the run's original name unless it is empty. */
  readonly name: string;
  readonly tags: readonly string[];
  readonly note: string;
}

/** The notes of a run without a notes file. */
export const NO_NOTES: RunNotes = { name: '', tags: [], note: '' };

/** The content of a notes file. */
export const NotesSchema = v.object({
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
