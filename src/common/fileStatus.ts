import { lstat, stat } from 'node:fs/promises';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is a file, not a folder',
  EISDIR: 'it is a folder',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the folder is not empty',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'it is larger than this file system or user may write',
  ENAMETOOLONG: 'its name or path is too long',
  ELOOP: 'its symbolic links lead in a circle',
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this machine',
  EBUSY: 'another program is using it',
  ETXTBSY: 'another program is using it',
  EIO: 'the disk or the network reports an error (EIO)',
  ESTALE: 'it was removed on the server of its network drive',
  ENODEV: 'its disk is missing',
  ENXIO: 'its disk is missing',
};

/** Where a new file or folder cannot be written, its parent is what is missing. */
const WRITE_REASONS: Readonly<Record<string, string>> = {
  ...REASONS,
  ENOENT: 'its folder does not exist',
  EACCES: 'permission denied: the folder or the file is read-only for this user',
  EPERM: 'not permitted: the folder or the file is read-only for this user',
};

/** Why an operation on a file failed, to follow a colon: "it does not exist". */
export const fileErrorReason = (error: unknown): string => reasonOf(error, REASONS);

/** Why a file or folder could not be written, to follow a colon: "its folder does not exist". */
export const writeErrorReason = (error: unknown): string => reasonOf(error, WRITE_REASONS);

function reasonOf(error: unknown, reasons: Readonly<Record<string, string>>): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const known = code === undefined ? undefined : reasons[code];
  return known ?? (error instanceof Error ? error.message : String(error));
}

/** Whether the path leads to a regular file, even through a link. False for any error. */
export const isFile = (file: string): Promise<boolean> =>
  stat(file).then(
    (found) => found.isFile(),
    () => false,
  );

/** Whether the path leads to anything at all. False for any error. */
export const pathExists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

/**
 * Whether anything with this name exists, including a dangling link: an optional file that exists
 * but cannot be read must be an error, not ignored.
 */
export const isNamed = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );
