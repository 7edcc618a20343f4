import { openPlace } from '../editor/openPlace';
import { recipeText } from '../recipe/recipeDatasets';

/**
 * Opens a recipe at a key, or where the key belongs. `orElse`: what says that the recipe is gone.
 */
export async function openSetting(
  recipe: string | null,
  key: string,
  orElse: () => Promise<void>,
): Promise<void> {
  const text = recipe === null ? '' : await recipeText(recipe);
  if (recipe === null || text === '') return orElse();
  const { placeOfKey } = await import('../../shared/recipeFile');
  await openPlace(placeOfKey(text, recipe, key));
}
