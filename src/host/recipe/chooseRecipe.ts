import { stat } from 'node:fs/promises';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { isRecipeName } from '../manifest/ids';
import { isRecipe } from './isRecipe';

/** All recipes of the workspace. */
export const findRecipes = (): Thenable<vscode.Uri[]> =>
  vscode.workspace.findFiles('**/{lora.json,*.lora.json}', '**/{node_modules,.lora}/**');

/**
 * The recipe that a command was invoked on: the file of the Explorer or of an editor's menu, or the
 * path of that of the active dashboard's run; else the active editor's, else one that the user
 * picks. Undefined: cancelled.
 *
 * @throws LoraError('recipe') when the workspace has none.
 */
export async function chooseRecipe(argument: unknown): Promise<vscode.Uri | undefined> {
  if (argument instanceof vscode.Uri) return argument;
  // the recipe of a run can be gone
  if (typeof argument === 'string' && (await isFile(argument))) return vscode.Uri.file(argument);
  const document = vscode.window.activeTextEditor?.document;
  if (document && isRecipe(document)) return document.uri;
  const active = document?.uri ?? activeTabFile();
  if (active && isRecipeName(active.fsPath)) return active;
  const recipes = await findRecipes();
  if (recipes.length === 0)
    throw new LoraError('recipe', t('There is no lora.json in this workspace.'), {
      fix: t('Run “LoRA: Train Adapter” to create one.'),
    });
  if (recipes.length === 1) return recipes[0];
  const items = recipes
    .map((uri) => ({ label: vscode.workspace.asRelativePath(uri), uri }))
    .sort((a, b) => a.label.localeCompare(b.label));
  const placeHolder = t('Select a recipe');
  return (await pickRow(items, { placeHolder }))?.uri;
}

const isFile = (file: string): Promise<boolean> =>
  stat(file).then(
    (info) => info.isFile(),
    () => false,
  );

/** The file of the active tab: VS Code knows it before its text editor is there. */
function activeTabFile(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  return input instanceof vscode.TabInputText ? input.uri : undefined;
}
