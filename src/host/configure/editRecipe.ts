import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { difference } from './recipeEdits';

/**
 * Edits a recipe through its document, so that the change can be undone, and saves it unless it had
 * unsaved changes before.
 *
 * @throws LoraError('disk') when it cannot be saved.
 */
export async function editRecipe(
  recipe: vscode.Uri,
  change: (text: string) => string,
): Promise<void> {
  const document = await vscode.workspace.openTextDocument(recipe);
  const wasDirty = document.isDirty;
  const found = difference(document.getText(), change(document.getText()));
  if (!found) return;
  const edit = new vscode.WorkspaceEdit();
  edit.replace(
    recipe,
    new vscode.Range(document.positionAt(found.start), document.positionAt(found.end)),
    found.text,
  );
  const applied = await vscode.workspace.applyEdit(edit);
  const isSaved = applied && (wasDirty || (await document.save()));
  if (!isSaved)
    throw new LoraError('disk', t('The recipe cannot be saved.'), {
      place: { file: recipe.fsPath },
    });
}
