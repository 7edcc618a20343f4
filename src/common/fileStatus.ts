import { stat } from 'node:fs/promises';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  EPERM: 'not permitted',
};

/** Why an operation on a file failed, to follow a colon: "it does not exist". */
export function fileErrorReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const known = code === undefined ? undefined : REASONS[code];
  return known ?? (error instanceof Error ? error.message : String(error));
}

/** Whether the path leads to a regular file, also through a link. False for any error. */
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
