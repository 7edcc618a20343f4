import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { oneLine, visibleControls } from '../../shared/plainText';
import { t } from '../text/l10n';
import { plain, plainLines } from './plain';

/** How serious a notification is. */
export type Level = 'information' | 'warning' | 'error';

/** A button: its title, or an object with one. */
type Button = string | { readonly title: string };

const titleOf = (button: Button) => (typeof button === 'string' ? button : button.title);

/** Shows a notification; returns the button that the user chose. Undefined: dismissed. */
export async function notify<B extends Button>(
  level: Level,
  message: string,
  buttons: readonly B[] = [],
): Promise<B | undefined> {
  const items = buttons.map((button) => ({ title: plain(titleOf(button)), button }));
  const chosen = await showerOf(level)(plain(message), ...items);
  return chosen?.button;
}

function showerOf(level: Level) {
  switch (level) {
    case 'information':
      return vscode.window.showInformationMessage;
    case 'warning':
      return vscode.window.showWarningMessage;
    case 'error':
      return vscode.window.showErrorMessage;
  }
}

/** Asks in a dialog whether to do what `action` says. */
export async function confirm(question: string, detail: string, action: string): Promise<boolean> {
  const chosen = await vscode.window.showWarningMessage(
    plain(question),
    { modal: true, detail: plainLines(detail) },
    { title: plain(action) },
  );
  return chosen !== undefined;
}

/** Asks in a dialog which of several things to do. Undefined: none. */
export async function choose<K extends string>(
  question: string,
  detail: string,
  actions: Readonly<Record<K, string>>,
): Promise<K | undefined> {
  const items = Object.entries<string>(actions).map(([key, title]) => ({
    title: plain(title),
    key: key as K,
  }));
  const chosen = await vscode.window.showWarningMessage(
    plain(question),
    { modal: true, detail: plainLines(detail) },
    ...items,
  );
  return chosen?.key;
}

const STATUS_MS = 3_000;

/** Shows a short confirmation in the status bar. */
export function showDone(message: string): void {
  vscode.window.setStatusBarMessage(plain(message), STATUS_MS);
}

/** Copies a text to the clipboard. A terminal that it is pasted into sees no control characters. */
export const copyToClipboard = (text: string): Thenable<void> =>
  vscode.env.clipboard.writeText(visibleControls(text));

/**
 * Copies a path to the clipboard.
 *
 * @throws LoraError('usage') when it contains control characters, such as a line feed: pasted into
 *   a terminal, it would run what follows.
 */
export async function copyPath(place: string): Promise<void> {
  if (oneLine(place) !== place)
    throw new LoraError(
      'usage',
      t('The path contains control characters, so it is not copied: {0}', place),
    );
  await vscode.env.clipboard.writeText(place);
}
