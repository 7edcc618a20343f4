import { expect, it } from 'vitest';
import { looksLikeRecipe } from '../../../src/shared/recipeText';

it.each([
  ['{"base": "b", "dataset": "d"}', true],
  ['// mine\n/* {"a"} */ { "dataset" : "d", "base": "b", }', true],
  ['\uFEFF{"base":"b","dataset":"d"}', true],
  ['[{"base": "b", "dataset": "d"}]', false],
  ['{"messages": []}', false],
  ['{"base": "b"}', false],
  ['', false],
  [`{"base":"b","dataset":"d"}${' '.repeat(1_000_000)}`, false],
])('%# is told by its content', (text, isRecipe) => {
  expect(looksLikeRecipe(text)).toBe(isRecipe);
});
