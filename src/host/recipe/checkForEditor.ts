import { isRemotePath } from '../../common/remotePath';
import type { Problem } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import { missingFiles } from './recipeFiles';

/**
 * The problems to show while a recipe is edited, except those that VS Code finds itself by the JSON
 * schema. Looks for the files that it names only if the workspace is trusted, and not on servers: a
 * recipe that is merely open must not make the editor connect to anything.
 */
export async function checkForEditor(
  text: string,
  file: string,
  isTrusted: boolean,
): Promise<readonly Problem[]> {
  const unknownKeys = checkRecipe(text, file).problems.filter((problem) =>
    problem.message.startsWith('Unknown key'),
  );
  const mayTouch = (value: string) => isTrusted && !isRemotePath(value);
  return [...unknownKeys, ...(await missingFiles(text, file, mayTouch))];
}

/** All problems of a recipe, before a run. */
export async function checkForRun(text: string, file: string): Promise<readonly Problem[]> {
  return [...checkRecipe(text, file).problems, ...(await missingFiles(text, file))];
}
