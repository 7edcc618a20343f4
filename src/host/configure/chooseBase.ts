import path from 'node:path';
import * as vscode from 'vscode';
import { relativeTo } from '../setup/relativeTo';
import { chooseBasePath, type ChooseBaseServices } from '../train/chooseBasePath';
import { editRecipe } from './editRecipe';
import { withBase } from './recipeEdits';

/**
 * Asks for a base model and writes it to a recipe.
 *
 * @throws LoraError('recipe') when that cannot be edited.
 */
export async function chooseBase(services: ChooseBaseServices, recipe: string): Promise<void> {
  const chosen = await chooseBasePath(services);
  if (chosen === undefined) return;
  const base = relativeTo(path.dirname(recipe), chosen);
  await editRecipe(vscode.Uri.file(recipe), (text) => withBase(text, base));
}
