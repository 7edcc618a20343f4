import type * as vscode from 'vscode';
import type { CommandRegistry } from '../commands/commandRegistry';
import { COMMANDS } from '../manifest/ids';
import type { Jobs } from '../jobs/jobs';
import { t } from '../text/l10n';
import { revealPlace } from '../editor/openPlace';

/**
 * What is fetched from the hub, and the token for it. Gives the way to a base, for others that ask
 * for one.
 */
export function registerHubCommands(
  commands: CommandRegistry,
  jobs: Jobs,
  secrets: vscode.SecretStorage,
): () => Promise<string | undefined> {
  const download = async () =>
    (await import('./downloadBase')).downloadBaseCommand({ jobs, secrets });
  commands.add(COMMANDS.downloadBase, 'base', async () => {
    const base = await download();
    if (base !== undefined) await revealPlace(base);
  });
  commands.add(COMMANDS.setHubToken, 'base', async () => {
    await (
      await import('./downloadBase')
    ).askToken(
      secrets,
      t('For models that are not for everybody. Empty: the token that was kept is forgotten.'),
    );
  });
  return download;
}
