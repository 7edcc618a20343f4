import { isSamePath } from '../../common/samePath';
import { pathsOf } from '../../shared/datasetSources';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { Recipe } from '../../shared/recipe';
import { findRecipes } from './chooseRecipe';

/** The text of a recipe; '' when it cannot be read. */
export const recipeText = (recipe: string): Promise<string> =>
  readTextFile(recipe, { maxBytes: MAX_BYTES.writtenByPeople }).catch(() => '');

/** A recipe, with absolute paths; null when it cannot be read or is not valid. */
export async function readRecipe(file: string): Promise<Recipe | null> {
  const { checkRecipe } = await import('../../shared/recipeFile');
  return checkRecipe(await recipeText(file), file).recipe ?? null;
}

/** The datasets that a recipe names; none when it cannot be read. */
export async function datasetsOf(file: string): Promise<readonly string[]> {
  const recipe = await readRecipe(file);
  if (!recipe) return [];
  return [...pathsOf(recipe.dataset), ...(recipe.validation === null ? [] : [recipe.validation])];
}

/** The recipes of the workspace that name a dataset. */
export async function recipesNaming(dataset: string): Promise<readonly string[]> {
  const recipes = (await findRecipes()).map((uri) => uri.fsPath).sort();
  const named = await Promise.all(recipes.map((recipe) => datasetsOf(recipe)));
  return recipes.filter((_, i) => named[i]!.some((own) => isSamePath(own, dataset)));
}
