import * as vscode from 'vscode';
import { oneLine } from '../../shared/plainText';

/** Opens a new Modelfile for Ollama: a model, and an adapter on it if one is named. */
export async function showModelfile(model: string, adapter: string | null = null): Promise<void> {
  const lines = [
    `FROM ${oneLine(model)}`,
    ...(adapter === null ? [] : [`ADAPTER ${oneLine(adapter)}`]),
  ];
  await vscode.window.showTextDocument(
    await vscode.workspace.openTextDocument({
      language: 'dockerfile',
      content: `${lines.join('\n')}\n`,
    }),
  );
}
