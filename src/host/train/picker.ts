import * as vscode from 'vscode';
import { t } from '../l10n';

export interface Choice<T> extends vscode.QuickPickItem {
  /** Undefined: a separator. */
  readonly value?: T;
}

export interface PickOptions<T> {
  readonly title: string;
  readonly step: number;
  readonly totalSteps: number;
  readonly placeholder: string;
  readonly first: boolean;
  /** Called with `show` until all choices are known; the pick is busy meanwhile. */
  readonly fill: (show: (choices: readonly Choice<T>[]) => void, typed: () => string) => Promise<void> | void;
  /** The choice that Enter takes. */
  readonly isDefault: (value: T) => boolean;
  /** For picks in which something can be typed: called with each change. */
  readonly onType?: (text: string, show: (choices: readonly Choice<T>[]) => void) => void;
}

export type Picked<T> = { readonly kind: 'picked'; readonly value: T } | { readonly kind: 'back' } | { readonly kind: 'cancel' };

/** One step of a quick input: a list with a default, a way back, and room to type where that makes sense. */
export async function pick<T>(options: PickOptions<T>): Promise<Picked<T>> {
  const input = vscode.window.createQuickPick<Choice<T>>();
  try {
    return await new Promise((resolve, reject) => {
      prepare(input, options);
      input.onDidTriggerButton(() => resolve({ kind: 'back' }));
      input.onDidHide(() => resolve({ kind: 'cancel' }));
      input.onDidAccept(() => {
        const [chosen] = input.activeItems;
        if (chosen?.value !== undefined) resolve({ kind: 'picked', value: chosen.value });
      });
      input.show();
      fill(input, options).catch(reject);
    });
  } finally {
    input.dispose();
  }
}

function prepare<T>(input: vscode.QuickPick<Choice<T>>, { title, step, totalSteps, placeholder, first, onType, isDefault }: PickOptions<T>): void {
  Object.assign(input, { title, step, totalSteps, placeholder, ignoreFocusOut: true, matchOnDescription: true });
  if (!first) input.buttons = [vscode.QuickInputButtons.Back];
  if (onType) input.onDidChangeValue((text) => onType(text.trim(), (choices) => show(input, choices, isDefault)));
}

async function fill<T>(input: vscode.QuickPick<Choice<T>>, { fill: source, isDefault }: PickOptions<T>): Promise<void> {
  input.busy = true;
  await source((choices) => show(input, choices, isDefault), () => input.value.trim());
  input.busy = false;
}

/** Keeps what the user has moved to while more choices come in. */
function show<T>(input: vscode.QuickPick<Choice<T>>, choices: readonly Choice<T>[], isDefault: (value: T) => boolean): void {
  const [before] = input.activeItems;
  const moved = before?.value !== undefined && !isDefault(before.value) && before !== input.items.find((item) => item.value !== undefined);
  input.items = choices;
  const wanted = choices.find((choice) => choice.value !== undefined && (moved ? choice.value === before.value : isDefault(choice.value)));
  if (wanted && !input.value) input.activeItems = [wanted];
}

export const separator = (label: string): Choice<never> => ({ label, kind: vscode.QuickPickItemKind.Separator });

/** Asks for a file or a folder in the system's dialog. */
export async function browse(what: 'file' | 'folder', title: string, filters?: Record<string, string[]>): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title, openLabel: t('Choose'), canSelectFiles: what === 'file', canSelectFolders: what === 'folder', canSelectMany: false, ...(filters && { filters }),
  });
  return chosen?.[0]?.fsPath;
}
