import path from 'node:path';
import { shellQuote } from '../../common/shellQuote';
import { pathExists } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { placeOfKey } from '../../shared/recipeFile';
import { RUN_FILES } from '../../shared/run';

/**
 * An error of the worker with what only the main thread knows: the line in the recipe's file, or
 * how to resume the run. Other errors are returned unchanged.
 */
export async function errorForUser(
  error: LoraError,
  runDir: string,
  recipePath: string | null,
): Promise<LoraError> {
  if (error.area === 'disk') return diskErrorForUser(error, runDir);
  return error.area === 'recipe' && recipePath !== null ? recipeError(error, recipePath) : error;
}

/** In the text of the cause: its code is lost between the threads. */
const NOT_WRITABLE = /\b(?:EROFS|EACCES|EPERM)\b/;

/** A disk error with advice, and with the final name of a file instead of its temporary one. */
export async function diskErrorForUser(error: LoraError, runDir: string): Promise<LoraError> {
  const { place, fix = await diskAdvice(error, runDir) } = error;
  const file = place?.file.replace(/\.\d+\.tmp(?=[\\/]|$)/, '');
  return new LoraError('disk', error.message, {
    ...(place && file !== undefined && { place: { ...place, file } }),
    fix,
    cause: error.cause,
  });
}

async function diskAdvice({ cause }: LoraError, runDir: string): Promise<string> {
  const isNotWritable = cause instanceof Error && NOT_WRITABLE.test(cause.message);
  const repair = isNotWritable ? 'Make the folder writable' : 'Free some disk space';
  return (await pathExists(path.join(runDir, RUN_FILES.record)))
    ? `${repair}, then resume the run: lora train --resume ${shellQuote(runDir)}`
    : `${repair}, then start the run again.`;
}

/** The error at the line of its key, if the recipe's file can still be read. */
export async function recipeError(error: LoraError, recipePath: string): Promise<LoraError> {
  const text = await readTextFile(recipePath, {
    maxBytes: MAX_BYTES.writtenByPeople,
  }).catch(() => null);
  if (text === null || error.place?.key === undefined) return error;
  return new LoraError('recipe', error.message, {
    place: placeOfKey(text, recipePath, error.place.key),
    ...(error.fix !== undefined && { fix: error.fix }),
    cause: error.cause,
  });
}
