import path from 'node:path';
import * as vscode from 'vscode';
import type { CommandRegistry } from '../commands/commandRegistry';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import { browse } from '../setup/picker';
import { writeSample, type SampleParts } from './writeSample';

const NAME = 'lora-sample';

/** Puts the sample into a folder that the user names, and opens it. */
export function registerSample(commands: CommandRegistry, parts: SampleParts): void {
  commands.add(COMMANDS.openSample, 'disk', async () => {
    const parent = await browse('folder', t('Where to put the sample?'));
    if (parent === undefined) return;
    const folder = path.join(parent, NAME);
    await writeSample(folder, parts);
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(folder));
  });
}
