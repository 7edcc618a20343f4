import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { AskInspections } from '../inspection/inspections';
import { t } from '../text/l10n';

/** A row that replaces another one. */
export interface RowWrite {
  readonly file: string;
  readonly row: number;
  /** Its line, from 1. */
  readonly number: number;
  readonly before: string;
  readonly after: string;
}

/**
 * Writes a row. A file that is open in an editor is changed there and saved, so that the editor can
 * undo it, too; otherwise the whole file is replaced.
 *
 * @throws LoraError('dataset') when the file has unsaved changes, or holds another row by now
 */
export async function writeRow(write: RowWrite, inspections: AskInspections): Promise<void> {
  const { file, row, before, after } = write;
  refuseUnsaved(file);
  const document = documentOf(file);
  if (document) await editDocument(document, write);
  await inspections.ask('dataWrite', {
    file,
    row,
    before,
    after,
    isWritten: document !== undefined,
  });
}

/** @throws LoraError('dataset') when an editor has changes of the file that are not saved */
export function refuseUnsaved(file: string): void {
  const isDirty = vscode.window.tabGroups.all
    .flatMap(({ tabs }) => tabs)
    .some(({ input, isDirty: own }) => own && fileOf(input) === file);
  if (!isDirty && !documentOf(file)?.isDirty) return;
  throw new LoraError('dataset', t('The file has unsaved changes in an editor.'), {
    place: { file },
    fix: t('Save or revert them first.'),
  });
}

const fileOf = (input: unknown): string | undefined =>
  input instanceof vscode.TabInputText ? input.uri.fsPath : undefined;

const documentOf = (file: string): vscode.TextDocument | undefined =>
  vscode.workspace.textDocuments.find(
    ({ uri, isClosed }) => uri.scheme === 'file' && uri.fsPath === file && !isClosed,
  );

async function editDocument(document: vscode.TextDocument, write: RowWrite): Promise<void> {
  const { file, number, before, after } = write;
  const line = number <= document.lineCount ? document.lineAt(number - 1) : undefined;
  if (line?.text.trim() !== before)
    throw new LoraError('dataset', t('The row has changed since it was shown.'), {
      place: { file, line: number },
      fix: t('Close the row and open it again.'),
    });
  const edit = new vscode.WorkspaceEdit();
  edit.replace(document.uri, line.range, after);
  const isDone = (await vscode.workspace.applyEdit(edit)) && (await document.save());
  if (isDone) return;
  throw new LoraError('disk', t('The editor could not save the file.'), { place: { file } });
}
