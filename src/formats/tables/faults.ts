import { FileRefused } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import type { Packing } from './table';

/** The error of a file that is no dataset, or that cannot be read. */
export const tableFault = (
  file: string,
  message: string,
  fix?: string,
  cause?: unknown,
): LoraError => new LoraError('dataset', message, { place: { file }, ...(fix && { fix }), cause });

/** The error of a dataset that another program writes while it is read. */
export const changedWhileRead = (file: string): LoraError =>
  tableFault(
    file,
    'The file was changed while it was read.',
    'Start again when no program writes to it any more.',
  );

/** An error of the file system. A LoraError is returned as it is. */
export function unreadable(file: string, error: unknown): LoraError {
  if (error instanceof LoraError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return tableFault(
      file,
      'The file does not exist.',
      'Check "dataset" and "validation" in the recipe.',
    );
  const reason = error instanceof FileRefused ? `${error.message}.` : textOf(error);
  return tableFault(file, `The file cannot be read: ${reason}`, 'Check its permissions.', error);
}

const textOf = (error: unknown) => LoraError.from(error, 'dataset').message;

/** The error of a file that cannot be unpacked. */
export function unpackFault(file: string, packing: Packing, error: unknown): LoraError {
  if (error instanceof LoraError) return error;
  const reason = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
  return tableFault(
    file,
    `The file cannot be unpacked (${packing}): ${reason}.`,
    'Pack or download it again. If it is right, unpack it and name the unpacked file.',
    error,
  );
}

/** The error of a file whose content a library cannot read. */
export function damaged(file: string, name: string, error: unknown): LoraError {
  if (error instanceof LoraError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return tableFault(
    file,
    `The ${name} file is damaged or of an unknown kind: ${reason.replace(/\.$/, '')}.`,
    'Write it again, or export its rows as JSON Lines.',
    error,
  );
}
