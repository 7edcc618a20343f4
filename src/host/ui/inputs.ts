import path from 'node:path';
import * as vscode from 'vscode';
import { t } from '../text/l10n';
import { plain, withIcon } from './plain';

/** A row of a list. */
export interface PickRow {
  readonly label: string;
  /** Names an icon before the label. */
  readonly icon?: string;
  readonly description?: string;
  readonly detail?: string;
  /** Names an icon before the detail. */
  readonly detailIcon?: string;
  /** Shown even if it does not fit what was typed. */
  readonly alwaysShow?: boolean;
  /** A separator with a label. */
  readonly separator?: true;
}

/** The row as VS Code shows it. */
export interface ShownRow<T> extends vscode.QuickPickItem {
  readonly row: T;
}

/** A row for VS Code, with its texts as plain text. */
export const shownRow = <T extends PickRow>(row: T): ShownRow<T> => ({
  label: withIcon(row.icon, row.label),
  ...(row.description !== undefined && { description: plain(row.description) }),
  ...(row.detail !== undefined && { detail: withIcon(row.detailIcon, row.detail) }),
  ...(row.alwaysShow !== undefined && { alwaysShow: row.alwaysShow }),
  ...(row.separator && { kind: vscode.QuickPickItemKind.Separator }),
  row,
});

/** What a list says and searches. */
export interface ListOptions {
  readonly title?: string;
  readonly placeHolder: string;
  readonly matchOnDescription?: boolean;
  readonly matchOnDetail?: boolean;
}

const listOptions = ({ title, placeHolder, ...matching }: ListOptions) => ({
  ...(title !== undefined && { title: plain(title) }),
  placeHolder: plain(placeHolder),
  ...matching,
});

/** Lets the user pick a row. Undefined: cancelled. */
export async function pickRow<T extends PickRow>(
  rows: readonly T[],
  options: ListOptions,
): Promise<T | undefined> {
  return (await vscode.window.showQuickPick(rows.map(shownRow), listOptions(options)))?.row;
}

/** Lets the user pick several rows; those for which `isPicked` holds are checked at first. */
export async function pickRows<T extends PickRow>(
  rows: readonly T[],
  isPicked: (row: T) => boolean,
  options: ListOptions,
): Promise<readonly T[] | undefined> {
  const items = rows.map((row) => ({ ...shownRow(row), picked: isPicked(row) }));
  const chosen = await vscode.window.showQuickPick(items, {
    ...listOptions(options),
    canPickMany: true,
  });
  return chosen?.map(({ row }) => row);
}

/** What an input box asks. */
export interface TextQuestion {
  readonly title: string;
  readonly prompt: string;
  readonly value?: string;
  readonly valueSelection?: [number, number];
  readonly placeHolder?: string;
  readonly password?: boolean;
  /** What is wrong with the text; undefined when nothing is. */
  readonly validate?: (text: string) => string | undefined | Promise<string | undefined>;
}

/** Asks for a text. It stays open when the window loses the focus. Undefined: cancelled. */
export const askText = ({
  title,
  prompt,
  placeHolder,
  validate,
  ...others
}: TextQuestion): Thenable<string | undefined> =>
  vscode.window.showInputBox({
    ...others,
    title: plain(title),
    prompt: plain(prompt),
    ...(placeHolder !== undefined && { placeHolder: plain(placeHolder) }),
    ...(validate && {
      validateInput: async (text: string) => {
        const fault = await validate(text);
        return fault === undefined ? undefined : plain(fault);
      },
    }),
    ignoreFocusOut: true,
  });

/** What an input box asks that acts while the user types. */
export interface LiveQuestion {
  readonly title: string;
  readonly placeholder: string;
  readonly value: string;
  readonly onChange: (text: string) => void;
}

/** Calls `onChange` while the user types. True: accepted; false: cancelled. */
export async function askWhileTyping(question: LiveQuestion): Promise<boolean> {
  const box = vscode.window.createInputBox();
  box.title = plain(question.title);
  box.placeholder = plain(question.placeholder);
  box.value = question.value;
  const accepted = await new Promise<boolean>((done) => {
    box.onDidChangeValue(question.onChange);
    box.onDidAccept(() => {
      done(true);
      box.hide();
    });
    box.onDidHide(() => done(false));
    box.show();
  });
  box.dispose();
  return accepted;
}

type Filters = Record<string, string[]>;

/** Asks for a file or a folder in the system's dialog; returns its path. Undefined: cancelled. */
export async function browse(
  what: 'file' | 'folder',
  title: string,
  filters?: Filters,
): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: plain(title),
    openLabel: t('Select'),
    canSelectFiles: what === 'file',
    canSelectFolders: what === 'folder',
    canSelectMany: false,
    ...(filters && { filters }),
  });
  return chosen?.[0]?.fsPath;
}

/** Asks for one or several existing files, in the system's dialog. Empty: cancelled. */
export async function browseFiles(title: string, filters: Filters): Promise<readonly string[]> {
  const chosen = await vscode.window.showOpenDialog({
    title: plain(title),
    openLabel: t('Select'),
    canSelectMany: true,
    filters,
  });
  return (chosen ?? []).map(({ fsPath }) => fsPath);
}

/**
 * Asks where to save a file, in the system's dialog. `folder` and `name` are suggested. Undefined:
 * cancelled.
 */
export const askWhereToSave = (
  folder: string,
  name: string,
  filters: Filters,
): Thenable<vscode.Uri | undefined> =>
  vscode.window.showSaveDialog({ defaultUri: vscode.Uri.file(path.join(folder, name)), filters });
