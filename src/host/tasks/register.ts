import path from 'node:path';
import * as vscode from 'vscode';
import { TASK_IDS } from '../manifest/ids';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { namedTask } from '../ui/task';
import { findRecipes } from '../recipe/chooseRecipe';
import { RecipeTerminal } from './recipeTerminal';

interface RecipeTask extends vscode.TaskDefinition {
  /** Path of a recipe, relative to its workspace folder. */
  readonly recipe?: unknown;
}

/**
 * Recipes as tasks: `"type": "lora", "recipe": "lora.json"` in tasks.json. The problem matcher
 * $lora marks what is wrong with them.
 */
export function registerTasks({ cli, runtime }: Services): vscode.Disposable {
  const taskOf = (definition: RecipeTask, folder: vscode.WorkspaceFolder): vscode.Task => {
    const recipe = path.resolve(folder.uri.fsPath, String(definition.recipe));
    return namedTask({
      definition,
      folder,
      name: t('train {0}', String(definition.recipe)),
      detail: t('Trains the recipe in a terminal'),
      terminal: () => new RecipeTerminal({ cli, runtime, recipe }),
      problemMatcher: `$${TASK_IDS.problemMatcher}`,
    });
  };
  return vscode.tasks.registerTaskProvider(TASK_IDS.recipe, {
    provideTasks: async () =>
      (await findRecipes()).flatMap((uri) => {
        const folder = vscode.workspace.getWorkspaceFolder(uri);
        return folder
          ? [
              taskOf(
                {
                  type: TASK_IDS.recipe,
                  recipe: path.relative(folder.uri.fsPath, uri.fsPath).split(path.sep).join('/'),
                },
                folder,
              ),
            ]
          : [];
      }),
    resolveTask: ({ definition, scope }) => {
      const folder = typeof scope === 'object' ? scope : vscode.workspace.workspaceFolders?.[0];
      return folder && typeof definition['recipe'] === 'string'
        ? taskOf(definition, folder)
        : undefined;
    },
  });
}
