import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { refuseLinks } from './withoutLinks';

type Make = (folder: string) => Promise<unknown>;

/**
 * Creates a folder and those above it; does nothing if it exists. Node's own recursive mkdir
 * reports a read-only file system as ENOENT.
 *
 * @throws FileRefused where .lora or a folder in it is a link; the file system's error, of the
 *   folder that cannot be created
 */
export async function makeFolder(
  folder: string,
  make: Make = (name) => mkdir(name),
): Promise<void> {
  await refuseLinks(folder);
  const error = await errorOf(folder, make);
  if (error === null) return;
  const parent = path.dirname(folder);
  if (error.code !== 'ENOENT' || parent === folder) throw error;
  await makeFolder(parent, make);
  const again = await errorOf(folder, make);
  if (again !== null) throw again;
}

/** Null when the folder exists afterwards. */
async function errorOf(folder: string, make: Make): Promise<NodeJS.ErrnoException | null> {
  try {
    await make(folder);
    return null;
  } catch (error) {
    // the root of a Windows drive answers EPERM, a folder of a read-only file system EROFS
    const found = await stat(folder).catch(() => null);
    if (found?.isDirectory()) return null;
    const reason = error as NodeJS.ErrnoException;
    return found && reason.code === 'EEXIST'
      ? Object.assign(new Error(`${folder} is not a folder`), { code: 'ENOTDIR' })
      : reason;
  }
}
