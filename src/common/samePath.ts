import path from 'node:path';

// Windows writes one path in several ways: VS Code with a small letter for the drive, other
// programs with a capital one; names differ in case; both kinds of slashes are allowed.

/** A path in a form that is equal for all ways to write it. */
function comparable(file: string, platform: NodeJS.Platform): string {
  if (platform !== 'win32') return file;
  const normal = path.win32.normalize(file).toLowerCase();
  return normal.length > 3 ? normal.replace(/\\$/, '') : normal;
}

/** Whether two full paths lead to the same place, as far as their text tells. */
export const isSamePath = (a: string, b: string, platform = process.platform): boolean =>
  comparable(a, platform) === comparable(b, platform);

/** Whether a full path leads into a folder. The folder itself does not count. */
export function isInFolder(file: string, folder: string, platform = process.platform): boolean {
  const { sep } = platform === 'win32' ? path.win32 : path.posix;
  const outer = comparable(folder, platform);
  return comparable(file, platform).startsWith(outer.endsWith(sep) ? outer : outer + sep);
}
