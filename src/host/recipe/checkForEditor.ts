import type { Problem } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import { missingFiles } from './recipeFiles';

/**
 * Faults to show while a recipe is edited: those that its JSON schema, which the editor checks
 * itself, doesn't tell or doesn't tell as well.
 */
export async function checkForEditor(text: string, file: string): Promise<readonly Problem[]> {
  const unknownKeys = checkRecipe(text, file).problems.filter((problem) =>
    problem.message.startsWith('Unknown key'),
  );
  return [...unknownKeys, ...(await missingFiles(text, file))];
}

/** Every fault: before a run. */
export async function checkForRun(text: string, file: string): Promise<readonly Problem[]> {
  return [...checkRecipe(text, file).problems, ...(await missingFiles(text, file))];
}
