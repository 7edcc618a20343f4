import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Show Runtime and Install Runtime. */
export function registerRuntime({ commands, runtime }: Services): vscode.Disposable {
  return vscode.Disposable.from(
    commands.add(COMMANDS.showRuntime, () => runtime.show()),
    commands.add(COMMANDS.installRuntime, async () => {
      if (await runtime.install()) await runtime.show();
    }),
  );
}
