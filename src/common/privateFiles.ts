import { chmod, mkdir } from 'node:fs/promises';
import { makeFolder } from './makeFolder';

/** Environment variable: 0 lets other users of the machine read new runs. */
export const PRIVATE_RUNS = 'LORA_RUNS_PRIVATE';

const FOLDER_MODE = 0o700;
/** The mode of a new file that only its owner reads. */
export const FILE_MODE = 0o600;
const ALL_BUT_OWNER = 0o077;

/** Whether only the user reads the files of runs: unless LORA_RUNS_PRIVATE is 0. */
export const areRunsPrivate = (env: Readonly<Record<string, string | undefined>>): boolean =>
  env[PRIVATE_RUNS] !== '0';

/**
 * Creates a folder as `makeFolder` does; only its owner can enter a new one. Those above it have
 * the usual mode. On Windows folders have the permissions of the one that they are in.
 *
 * @throws as `makeFolder` does
 */
export const makePrivateFolder = (folder: string): Promise<void> =>
  makeFolder(folder, (name) =>
    name === folder ? mkdir(name, { mode: FOLDER_MODE }) : mkdir(name),
  );

/** Lets only its owner enter an existing folder, if the file system can. Never throws. */
export const keepPrivate = (folder: string): Promise<void> =>
  chmod(folder, FOLDER_MODE).catch(() => undefined);

/** All files and folders that this process creates from now on belong to its user alone. */
export function createPrivateFiles(): void {
  process.umask(ALL_BUT_OWNER);
}
