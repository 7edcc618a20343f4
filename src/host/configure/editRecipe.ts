import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { difference } from './recipeEdits';

/**
 * Edits a recipe through its document, so that the change can be undone. It is not saved: the user
 * does that, or a run of it.
 *
 * @throws LoraError('recipe') when it cannot be edited.
 */
export async function editRecipe(
  recipe: vscode.Uri,
  change: (text: string) => string,
): Promise<void> {
  const document = await vscode.workspace.openTextDocument(recipe);
  const found = difference(document.getText(), change(document.getText()));
  if (!found) return;
  const edit = new vscode.WorkspaceEdit();
  edit.replace(
    recipe,
    new vscode.Range(document.positionAt(found.start), document.positionAt(found.end)),
    found.text,
  );
  if (!(await vscode.workspace.applyEdit(edit)))
    throw new LoraError('recipe', t('The recipe cannot be edited.'), {
      place: { file: recipe.fsPath },
    });
}

/**
 * Saves a recipe.
 *
 * @throws LoraError('disk') when it cannot be saved.
 */
export async function saveRecipe(recipe: vscode.Uri): Promise<void> {
  const document = await vscode.workspace.openTextDocument(recipe);
  if (document.isDirty && !(await document.save()))
    throw new LoraError('disk', t('The recipe cannot be saved.'), {
      place: { file: recipe.fsPath },
    });
}
