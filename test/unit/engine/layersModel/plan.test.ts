import { expect, it } from 'vitest';
import type { LayersKernel } from '../../../../src/formats/layersModel/kernels';
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

const KERNELS: readonly LayersKernel[] = ['Dense', 'Conv2D'].map((className, i) => ({
  ...{ path: `net.layer_${i}`, layer: `layer_${i}`, className, kind: 'linear' },
  ...{ in_features: 4, out_features: 4 },
}));

function planned(lora: Readonly<Record<string, unknown>>) {
  const own = { base: 'model.json', dataset: 'rows.csv', task: 'features', lora };
  const warnings: string[] = [];
  const hooks = { info: () => undefined, warn: (text: string) => void warnings.push(text) };
  const recipe = parseRecipe(JSON.stringify(own), '/w/recipe.json');
  const adapter = planLayersAdapter(recipe, KERNELS, { base: 'model', raw: {} }, hooks);
  return { paths: adapter.modules.map(({ path }) => path), warnings };
}

it.each([['Dense'], ['layer_0'], ['net.layer_0']])(
  'leaves out what exclude_modules names: %s',
  (name) => {
    expect(planned({ exclude_modules: [name] })).toEqual({ paths: ['net.layer_1'], warnings: [] });
  },
);

it('names the entries that match no kernel', () => {
  const { warnings } = planned({ exclude_modules: ['Dnse'], rank_pattern: { layer_7: 2 } });
  expect(warnings).toEqual([
    'exclude_modules: "Dnse" matches no module of this base that LoRA can adapt; did you mean "Dense"?',
    expect.stringMatching(/^rank_pattern: "layer_7" matches no module that is adapted/),
  ]);
});
