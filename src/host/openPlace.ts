import * as vscode from 'vscode';
import type { Place } from '../shared/errors';

/** Shows a file in an editor, with the cursor at its place. */
export async function openPlace(place: Place): Promise<void> {
  const at = new vscode.Position((place.line ?? 1) - 1, (place.column ?? 1) - 1);
  await vscode.window.showTextDocument(vscode.Uri.file(place.file), { preview: false, selection: new vscode.Range(at, at) });
}
