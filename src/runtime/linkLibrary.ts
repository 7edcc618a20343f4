import { copyFile, link, symlink } from 'node:fs/promises';

/**
 * Lets a library be found under another name. On Windows symbolic links need a privilege: a hard
 * link has the same effect, and between two disks only a copy has.
 */
export async function linkLibrary(
  file: string,
  target: string,
  platform: NodeJS.Platform = process.platform,
): Promise<void> {
  if (platform !== 'win32') return symlink(file, target);
  await link(file, target).catch(() => copyFile(file, target));
}
