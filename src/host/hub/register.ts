import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { revealPlace } from '../editor/openPlace';
import type { Services } from '../services';
import { t } from '../text/l10n';

/** Download Base Model, and the access token for models that need one. */
export function registerHub({ commands, jobs, context }: Services): vscode.Disposable {
  const { secrets } = context;
  return vscode.Disposable.from(
    commands.add(COMMANDS.downloadBase, async () => {
      const { downloadBaseCommand } = await import('./downloadBase');
      const base = await downloadBaseCommand({ jobs, secrets });
      if (base !== undefined) await revealPlace(base);
    }),
    commands.add(COMMANDS.setHubToken, async () => {
      const { askToken } = await import('./hubToken');
      await askToken(
        secrets,
        t('For gated and private models. Leave empty to delete the stored token.'),
      );
    }),
  );
}
