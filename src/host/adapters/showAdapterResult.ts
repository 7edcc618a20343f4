import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { notify } from '../ui/messages';
import { openResult, revealPlace } from '../editor/openPlace';

/**
 * Opens a new adapter and shows a message about it, with buttons that reveal it and compare it with
 * the original (null: no such button).
 */
export async function showAdapterResult(
  message: string,
  output: string,
  original: string | null,
): Promise<void> {
  await openResult(output);
  const [compare, show] = [t('Compare'), t('Reveal in Explorer')];
  const chosen = await notify('information', message, [
    ...(original === null ? [] : [compare]),
    show,
  ]);
  if (chosen === compare)
    await vscode.commands.executeCommand(COMMANDS.compareAdapters.id, [original, output]);
  if (chosen === show) await revealPlace(output);
}
