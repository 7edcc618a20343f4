import { fileURLToPath } from 'node:url';

/**
 * The path of a dropped file; null if it is not on the computer on which the extension runs.
 *
 * @param isRemote Whether the extension runs on another computer than the window: the Explorer's
 *   addresses begin with vscode-remote: then, and file: means the window's computer.
 */
export function droppedFile(uri: string, isRemote: boolean): string | null {
  try {
    const { protocol, pathname } = new URL(uri);
    if (protocol !== (isRemote ? 'vscode-remote:' : 'file:')) return null;
    return fileURLToPath(isRemote ? `file://${pathname}` : uri);
  } catch {
    return null; // not the address of a file
  }
}
