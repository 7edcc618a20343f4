import * as vscode from 'vscode';
import { t } from '../text/l10n';

/** An item of a quick pick. */
export interface PickItem<T> extends vscode.QuickPickItem {
  /** Null: the item cannot be chosen, or is a separator. */
  readonly value: T | null;
}

/** How to ask a question. */
export interface PickOptions<T> {
  readonly title: string;
  readonly step?: readonly [number: number, of: number];
  readonly placeholder: string;
  /** The first question has no Back button. */
  readonly first: boolean;
  /** The item that is active at first; by default the first one. */
  readonly isDefault: (value: T) => boolean;
  /**
   * Calls `show` with all items found so far, each time more are found. Progress is shown until it
   * ends.
   */
  readonly fill: (show: (choices: readonly PickItem<T>[]) => void) => Promise<void> | void;
  /** The items for a typed text, for questions that accept free input. */
  readonly typed?: (text: string) => readonly PickItem<T>[];
}

/** How a question ended. */
export type Picked<T> =
  | { readonly kind: 'picked'; readonly value: T }
  | { readonly kind: 'back' }
  | { readonly kind: 'cancel' };

/** Asks one question of a multi-step quick pick, with a default, a Back button and free input. */
export async function pick<T>(options: PickOptions<T>): Promise<Picked<T>> {
  const input = vscode.window.createQuickPick<PickItem<T>>();
  try {
    return await new Promise((resolve, reject) => {
      prepare(input, options);
      input.onDidTriggerButton(() => resolve({ kind: 'back' }));
      input.onDidHide(() => resolve({ kind: 'cancel' }));
      input.onDidAccept(() => {
        const value = input.activeItems[0]?.value ?? null;
        if (value !== null) resolve({ kind: 'picked', value });
      });
      input.show();
      fill(input, options).catch(reject);
    });
  } finally {
    input.dispose();
  }
}

function prepare<T>(
  input: vscode.QuickPick<PickItem<T>>,
  { title, step, placeholder, first, typed }: PickOptions<T>,
): void {
  Object.assign(input, {
    title,
    placeholder,
    ignoreFocusOut: true,
    matchOnDescription: true,
    step: step?.[0],
    totalSteps: step?.[1],
  });
  if (!first) input.buttons = [vscode.QuickInputButtons.Back];
  if (!typed) return;
  input.onDidChangeValue((text) => {
    const choices = typed(text.trim());
    input.items = choices;
    if (text.trim() && choices[0]) input.activeItems = [choices[0]];
  });
}

async function fill<T>(
  input: vscode.QuickPick<PickItem<T>>,
  { fill: source, isDefault }: PickOptions<T>,
): Promise<void> {
  input.busy = true;
  await source((choices) => show(input, choices, isDefault));
  input.busy = false;
}

/** Keeps the item active that the user has moved to while more items are added. */
function show<T>(
  input: vscode.QuickPick<PickItem<T>>,
  choices: readonly PickItem<T>[],
  isDefault: (value: T) => boolean,
): void {
  const before = input.activeItems[0]?.value ?? null;
  const untouched =
    before === null ||
    isDefault(before) ||
    before === input.items.find((item) => item.value !== null)?.value;
  input.items = choices;
  const wanted = choices.find(
    ({ value }) => value !== null && (untouched ? isDefault(value) : value === before),
  );
  if (wanted && !input.value) input.activeItems = [wanted];
}

/** A separator with a label. */
export const separator = (label: string): PickItem<never> => ({
  label,
  kind: vscode.QuickPickItemKind.Separator,
  value: null,
});

/** Asks for a file or a folder in the system's dialog; returns its path. Undefined: cancelled. */
export async function browse(
  what: 'file' | 'folder',
  title: string,
  filters?: Record<string, string[]>,
): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title,
    openLabel: t('Select'),
    canSelectFiles: what === 'file',
    canSelectFolders: what === 'folder',
    canSelectMany: false,
    ...(filters && { filters }),
  });
  return chosen?.[0]?.fsPath;
}
