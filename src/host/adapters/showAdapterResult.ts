import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { openResult, revealPlace } from '../editor/openPlace';

/**
 * Opens what became of an adapter and says it, with a way to find it, and to compare it with the
 * one that it was made of.
 */
export async function showAdapterResult(
  words: string,
  output: string,
  original: string | null,
): Promise<void> {
  await openResult(output);
  const [compare, show] = [t('Compare'), t('Reveal in Explorer')];
  const chosen = await vscode.window.showInformationMessage(
    words,
    ...(original === null ? [] : [compare]),
    show,
  );
  if (chosen === compare)
    await vscode.commands.executeCommand(COMMANDS.compareAdapters.id, [original, output]);
  if (chosen === show) await revealPlace(output);
}

/** 3,4 % in the editor's language. */
export const formatPercent = (share: number): string =>
  new Intl.NumberFormat(vscode.env.language, { style: 'percent', maximumFractionDigits: 2 }).format(
    share,
  );
