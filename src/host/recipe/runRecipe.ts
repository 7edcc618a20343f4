import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import type { RecipeDiagnostics } from './diagnostics';
import { isRecipeName } from './recipeName';

/** All recipes of the workspace. */
export const findRecipes = () =>
  vscode.workspace.findFiles('**/{lora.json,*.lora.json}', '**/{node_modules,.lora}/**');

/**
 * The recipe that Run Recipe is about: of the explorer's or the editor's entry, else the active
 * editor's, else picked.
 */
export async function chooseRecipe(argument: unknown): Promise<vscode.Uri | undefined> {
  if (argument instanceof vscode.Uri) return argument;
  const active = vscode.window.activeTextEditor?.document.uri ?? tabFile();
  if (active && isRecipeName(active.fsPath)) return active;
  const recipes = await findRecipes();
  if (recipes.length === 0)
    throw new LoraError('recipe', t('There is no lora.json in this workspace.'), {
      fix: t('Train Adapter writes one.'),
    });
  if (recipes.length === 1) return recipes[0];
  const items = recipes
    .map((uri) => ({ label: vscode.workspace.asRelativePath(uri), uri }))
    .sort((a, b) => a.label.localeCompare(b.label));
  return (await vscode.window.showQuickPick(items, { placeHolder: t('Which recipe to run?') }))
    ?.uri;
}

/** The file of the active tab: known before its editor is. */
function tabFile(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  return input instanceof vscode.TabInputText ? input.uri : undefined;
}

/**
 * Saves the recipe if it is being edited and checks it. Errors: LoraError('recipe') with every
 * fault, which are marked too.
 */
export async function checkedRecipe(
  uri: vscode.Uri,
  diagnostics: RecipeDiagnostics,
): Promise<string> {
  const document = await vscode.workspace.openTextDocument(uri);
  if (document.isDirty && !(await document.save()))
    throw new LoraError('disk', t('The recipe cannot be saved.'), { place: { file: uri.fsPath } });
  const { checkForRun } = await import('./checkForEditor');
  const problems = await checkForRun(document.getText(), uri.fsPath);
  if (problems.length === 0) return uri.fsPath;
  diagnostics.show(problems);
  throw new LoraError(
    'recipe',
    problems.length === 1
      ? t('The recipe has a fault.')
      : t('The recipe has {0} faults.', problems.length),
    { place: { file: uri.fsPath }, problems },
  );
}
