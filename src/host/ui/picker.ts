import * as vscode from 'vscode';
import { shownRow, type PickRow, type ShownRow } from './inputs';
import { plain } from './plain';

/** An item of a quick pick. */
export interface PickItem<T> extends PickRow {
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

type Input<T> = vscode.QuickPick<ShownRow<PickItem<T>>>;

/** Asks one question of a multi-step quick pick, with a default, a Back button and free input. */
export async function pick<T>(options: PickOptions<T>): Promise<Picked<T>> {
  const input: Input<T> = vscode.window.createQuickPick();
  try {
    return await new Promise((resolve, reject) => {
      prepare(input, options);
      input.onDidTriggerButton(() => resolve({ kind: 'back' }));
      input.onDidHide(() => resolve({ kind: 'cancel' }));
      input.onDidAccept(() => {
        const value = activeValue(input);
        if (value !== null) resolve({ kind: 'picked', value });
      });
      input.show();
      fill(input, options).catch(reject);
    });
  } finally {
    input.dispose();
  }
}

const activeValue = <T>(input: Input<T>): T | null => input.activeItems[0]?.row.value ?? null;

function prepare<T>(
  input: Input<T>,
  { title, step, placeholder, first, typed }: PickOptions<T>,
): void {
  Object.assign(input, {
    title: plain(title),
    placeholder: plain(placeholder),
    ignoreFocusOut: true,
    matchOnDescription: true,
    step: step?.[0],
    totalSteps: step?.[1],
  });
  if (!first) input.buttons = [vscode.QuickInputButtons.Back];
  if (!typed) return;
  input.onDidChangeValue((text) => showTyped(input, typed(text.trim())));
}

function showTyped<T>(input: Input<T>, choices: readonly PickItem<T>[]): void {
  const rows = choices.map(shownRow);
  input.items = rows;
  // the choice for the typed text; VS Code selects another itself, by what matches
  if (rows[0]?.alwaysShow) input.activeItems = [rows[0]];
}

async function fill<T>(
  input: Input<T>,
  { fill: source, isDefault, typed }: PickOptions<T>,
): Promise<void> {
  input.busy = true;
  await source((choices) => {
    const text = input.value.trim();
    if (typed && text) showTyped(input, typed(text));
    else show(input, choices, isDefault);
  });
  input.busy = false;
}

/** Keeps the item active that the user has moved to while more items are added. */
function show<T>(
  input: Input<T>,
  choices: readonly PickItem<T>[],
  isDefault: (value: T) => boolean,
): void {
  const before = activeValue(input);
  const untouched =
    before === null ||
    isDefault(before) ||
    before === input.items.find(({ row }) => row.value !== null)?.row.value;
  const items = choices.map(shownRow);
  input.items = items;
  const wanted = items.find(
    ({ row: { value } }) => value !== null && (untouched ? isDefault(value) : value === before),
  );
  if (wanted && !input.value) input.activeItems = [wanted];
}

/** A separator with a label. */
export const separator = (label: string): PickItem<never> => ({
  label,
  separator: true,
  value: null,
});
