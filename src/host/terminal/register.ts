import { chmod } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { replaceFile } from '../../common/atomicWrite';
import { makeFolder } from '../../common/makeFolder';
import { RUNTIME_SECTION, runtimeVariables } from '../runtime/runtimeSettings';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { describeVariables } from '../ui/terminals';
import { batchScript, shellScript } from './loraCommand';

/** Makes the command line a command of the editor's terminals: `lora`. */
export function registerTerminal({ cli, context, log }: Services): vscode.Disposable {
  const folder = vscode.Uri.joinPath(context.globalStorageUri, 'bin').fsPath;
  const home = vscode.Uri.joinPath(context.globalStorageUri, 'runtime').fsPath;
  const write = async () => {
    const place = { node: process.execPath, cli, home, variables: runtimeVariables() };
    await makeFolder(folder);
    if (process.platform === 'win32')
      await replaceFile(path.join(folder, 'lora.cmd'), batchScript(place, folder));
    else {
      await replaceFile(path.join(folder, 'lora'), shellScript(place));
      await chmod(path.join(folder, 'lora'), 0o755);
    }
  };
  // one after the other: the last one says what is chosen now
  let written = Promise.resolve();
  const writeAgain = () => {
    written = written
      .then(write)
      .catch((error: unknown) => log.warn(`The command lora: ${String(error)}`));
  };
  writeAgain();
  const variables = context.environmentVariableCollection;
  describeVariables(variables, t('Adds the command “lora”'));
  variables.prepend('PATH', `${folder}${path.delimiter}`, {
    applyAtProcessCreation: true,
    applyAtShellIntegration: true,
  });
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(RUNTIME_SECTION)) writeAgain();
    }),
    vscode.extensions.onDidChange(writeAgain),
  );
}
