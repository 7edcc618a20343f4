import path from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { browse } from '../ui/inputs';
import { t } from '../text/l10n';
import { writeSample } from './writeSample';

const FOLDER_NAME = 'lora-sample';

/** Open Sample Workspace: copies the sample into a folder of the user's choice and opens it. */
export function registerSample({ commands, context }: Services): vscode.Disposable {
  return commands.add(COMMANDS.openSample, async () => {
    const parent = await browse('folder', t('Select a folder for the sample'));
    if (parent === undefined) return;
    const folder = path.join(parent, FOLDER_NAME);
    await writeSample(folder, {
      files: context.asAbsolutePath('examples/git-commands'),
      readme: context.asAbsolutePath('media/sample.md'),
    });
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(folder));
  });
}
