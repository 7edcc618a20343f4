import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import type { Place } from '../../shared/errors';

/** Opens a file in an editor, with the cursor at the place. */
export async function openPlace(place: Place): Promise<void> {
  const at = new vscode.Position((place.line ?? 1) - 1, (place.column ?? 1) - 1);
  await vscode.window.showTextDocument(vscode.Uri.file(place.file), {
    preview: false,
    selection: new vscode.Range(at, at),
  });
}

/**
 * Reveals a file or folder in the Explorer view if it is in the workspace, else in the system's.
 */
export async function revealPlace(place: string): Promise<void> {
  const uri = vscode.Uri.file(place);
  await vscode.commands.executeCommand(
    vscode.workspace.getWorkspaceFolder(uri) ? 'revealInExplorer' : 'revealFileInOS',
    uri,
  );
}

/** Opens the result of a job in an editor; of a folder its README.md or its configuration. */
export async function openResult(place: string): Promise<void> {
  const names = (await listFolder(place).catch(() => [])).map((entry) => entry.name);
  const name = ['README.md', 'adapter_config.json', 'config.json'].find((file) =>
    names.includes(file),
  );
  await vscode.commands.executeCommand(
    'vscode.open',
    vscode.Uri.file(name === undefined ? place : path.join(place, name)),
    { preview: false },
  );
}
