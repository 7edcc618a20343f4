import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { chooseRecipe } from './chooseRecipe';
import { registerRecipeLens } from './codeLens';

/** Run Recipe, and the CodeLens above the first line of a recipe. */
export function registerRecipes({ commands, recipes }: Services): vscode.Disposable {
  return vscode.Disposable.from(
    commands.add(COMMANDS.runRecipe, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (recipe) await recipes.run(recipe);
    }),
    registerRecipeLens(),
  );
}
