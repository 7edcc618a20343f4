import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { isInRun } from '../../shared/run';
import { MAX_FILES } from '../target';
import { shortened } from '../foreignText';

const ListSchema = v.object({
  files: v.pipe(
    v.array(
      v.object({
        path: v.pipe(v.string(), v.maxLength(1024)),
        size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
        version: v.pipe(v.string(), v.maxLength(128)),
        sha256: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
      }),
    ),
    v.maxLength(MAX_FILES),
  ),
});

/** A file of a run folder, as engine/ray/launch.py lists it. */
export type ListedFile = v.InferOutput<typeof ListSchema>['files'][number];

/** The list that the launcher keeps. A node that is not there yet has an empty one. */
export function checkedList(content: Buffer): readonly ListedFile[] {
  if (content.length === 0) return [];
  try {
    const { files } = v.parse(ListSchema, JSON.parse(content.toString('utf8')));
    const wrong = files.find((file) => !isInRun(file.path));
    if (wrong === undefined) return files;
    throw new Error(`${JSON.stringify(shortened(wrong.path))} leads out of the folder`);
  } catch (error) {
    throw new LoraError('target', 'The cluster sent a list of files that is not valid.', {
      cause: error,
    });
  }
}
