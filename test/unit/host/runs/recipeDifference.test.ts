import { expect, it } from 'vitest';
import { recipeDifference } from '../../../../src/host/runs/recipeDifference';
import { recordOf } from '../../../support/runRecords';

it('lists the keys that differ, by their dotted paths', () => {
  const { recipe } = recordOf();
  expect(recipeDifference(recipe, recipe)).toEqual([]);
  expect(
    recipeDifference(recipe, {
      ...recipe,
      labels: 'all',
      training: { ...recipe.training, seed: 7 },
    }),
  ).toEqual([
    { key: 'labels', before: 'assistant', after: 'all' },
    { key: 'training.seed', before: 42, after: 7 },
  ]);
});
