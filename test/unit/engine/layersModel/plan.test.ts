import { expect, it } from 'vitest';
import { planLayersAdapter } from '../../../../src/engine/layersModel/plan';
import { parseRecipe } from '../../../../src/shared/recipeFile';

it('refuses a model that has no layer to adapt, and says so', () => {
  const text = JSON.stringify({ base: 'model.json', dataset: 'rows.csv', task: 'features' });
  const recipe = parseRecipe(text, '/w/recipe.json');
  const hooks = { info: () => undefined, warn: () => undefined };
  expect(() => planLayersAdapter(recipe, [], { base: 'model', raw: {} }, hooks)).toThrow(
    /no layer but a new output layer/,
  );
});
