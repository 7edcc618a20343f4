import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Show Runtime and Install Runtime. */
export function registerRuntime({ commands, runtime }: Services): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.extensions.onDidChange(() => runtime.extensionsChanged()),
    commands.add(COMMANDS.showRuntime, () => runtime.show()),
    commands.add(COMMANDS.askRuntime, () => runtime.question.remind()),
    commands.add(COMMANDS.installRuntime, async () => {
      // something waits for it, and continues once it is installed
      if (runtime.question.answer('cpu')) return;
      if (await runtime.install()) await runtime.show();
    }),
  );
}
