import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError, type Place, type SerializedError } from '../../shared/errors';
import { RUN_FILES, type RunRecord } from '../../shared/run';
import type { RunSource } from './runSource';

/** Opens the recipe's file; when it is gone, the recipe as the engine read it. */
export async function openRecipe(run: RunRecord): Promise<void> {
  const file = run.recipe_path;
  if (file && await exists(file)) await vscode.window.showTextDocument(vscode.Uri.file(file));
  else await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ language: 'json', content: JSON.stringify(run.recipe, null, 2) }));
}

export async function openLog(runDir: string): Promise<void> {
  const file = path.join(runDir, RUN_FILES.log);
  if (!await exists(file)) throw new LoraError('run', 'The engine has written no log yet.', { place: { file } });
  await vscode.window.showTextDocument(vscode.Uri.file(file));
}

/** Shows the adapter in the Explorer, or in the system's file manager when it lies outside the workspace. */
export async function revealAdapter(runDir: string, run: RunRecord): Promise<void> {
  const folder = path.join(runDir, RUN_FILES.adapter);
  if (run.result.adapter === null || !await exists(folder)) throw new LoraError('run', 'This run has no adapter yet.', { place: { file: folder } });
  const uri = vscode.Uri.file(folder);
  await vscode.commands.executeCommand(vscode.workspace.getWorkspaceFolder(uri) ? 'revealInExplorer' : 'revealFileInOS', uri);
}

/** Opens a place that the error itself names, and no other file. */
export async function openPlace(place: Place, error: SerializedError | null): Promise<void> {
  const named = [error?.place, ...(error?.problems ?? []).map((problem) => problem.place)];
  if (!named.some((other) => other?.file === place.file && other.line === place.line)) return;
  const at = new vscode.Position(Math.max(0, (place.line ?? 1) - 1), Math.max(0, (place.column ?? 1) - 1));
  await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(place.file), { selection: new vscode.Range(at, at) } satisfies vscode.TextDocumentShowOptions);
}

export async function copyError(error: SerializedError | null): Promise<void> {
  if (!error) return;
  const text = LoraError.deserialize(error).describe();
  await vscode.env.clipboard.writeText(error.detail ? `${text}\n\n${error.detail}` : text);
}

/** Asks where to, and writes all metrics as CSV. */
export async function exportCsv(source: RunSource, runDir: string, toCsv: (history: RunSource['metrics']) => string): Promise<void> {
  const name = `${source.run?.name.replace(/[^\p{L}\p{N}._-]+/gu, '-') ?? path.basename(runDir)}.csv`;
  const target = await vscode.window.showSaveDialog({ defaultUri: vscode.Uri.file(path.join(runDir, name)), filters: { CSV: ['csv'] } });
  if (target) await vscode.workspace.fs.writeFile(target, Buffer.from(toCsv(source.metrics), 'utf8'));
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(() => true, () => false);
}
