import { LoraError } from '../shared/errors';
import { fileErrorReason } from './fileStatus';
import { FileRefused } from './regularFile';

/**
 * The error for the user: a LoraError itself, or one in words for the file system's errors and
 * refused files. Null for a bug in the program, whose stack trace is needed.
 */
export function expectedError(error: unknown): LoraError | null {
  if (error instanceof LoraError) return error;
  if (error instanceof FileRefused) {
    return new LoraError('disk', `A file or folder cannot be used: ${error.message}.`, {
      cause: error,
    });
  }
  const { code, path: file } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof code !== 'string' || file === undefined) return null;
  return new LoraError('disk', `The file cannot be used: ${fileErrorReason(error)}.`, {
    place: { file },
    cause: error,
  });
}
