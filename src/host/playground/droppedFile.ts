import { fileURLToPath } from 'node:url';

/**
 * The path of a file that was dropped; null: it is not on the computer on which the extension runs.
 *
 * @param isRemote Whether that is another one than the window's. The Explorer names its files by
 *   vscode-remote: then, and file: is the window's computer.
 */
export function droppedFile(uri: string, isRemote: boolean): string | null {
  try {
    const { protocol, pathname } = new URL(uri);
    if (protocol !== (isRemote ? 'vscode-remote:' : 'file:')) return null;
    return fileURLToPath(isRemote ? `file://${pathname}` : uri);
  } catch {
    return null; // no address of a file
  }
}
