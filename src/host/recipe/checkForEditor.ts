import type { Problem } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import { missingFiles } from './recipeFiles';

/**
 * The problems to show while a recipe is edited, except those that VS Code finds itself by the JSON
 * schema.
 */
export async function checkForEditor(text: string, file: string): Promise<readonly Problem[]> {
  const unknownKeys = checkRecipe(text, file).problems.filter((problem) =>
    problem.message.startsWith('Unknown key'),
  );
  return [...unknownKeys, ...(await missingFiles(text, file))];
}

/** All problems of a recipe, before a run. */
export async function checkForRun(text: string, file: string): Promise<readonly Problem[]> {
  return [...checkRecipe(text, file).problems, ...(await missingFiles(text, file))];
}
