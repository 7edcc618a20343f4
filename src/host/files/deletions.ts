import * as vscode from 'vscode';
import { isInFolder, isSamePath } from '../../common/samePath';

/** Tells which files have been deleted, also with a folder above them, in or outside of VS Code. */
export function onFilesDeleted(
  listener: (isDeleted: (file: string) => boolean) => void,
): vscode.Disposable {
  const tell = (uris: readonly vscode.Uri[]) =>
    listener((file) =>
      uris.some(({ fsPath }) => isSamePath(file, fsPath) || isInFolder(file, fsPath)),
    );
  const watcher = vscode.workspace.createFileSystemWatcher('**', true, true, false);
  return vscode.Disposable.from(
    watcher,
    watcher.onDidDelete((uri) => tell([uri])),
    vscode.workspace.onDidDeleteFiles(({ files }) => tell(files)),
    vscode.workspace.onDidRenameFiles(({ files }) => tell(files.map(({ oldUri }) => oldUri))),
  );
}
