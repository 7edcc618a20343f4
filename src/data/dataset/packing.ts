import { firstPathOf } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { rowFormOf } from '../../shared/objective';
import { packedExamples, type Examples } from '../examples/examples';
import { pack } from '../examples/pack';
import type { DataRecipe } from './dataTypes';

/** The examples in rows of several each. @throws LoraError('recipe') as `checkPacking` */
export function packed(examples: Examples, recipe: DataRecipe): Examples {
  checkPacking(recipe);
  return packedExamples(examples, pack(examples, recipe.training.max_length));
}

/** @throws LoraError('recipe') for packing with a task other than causal_lm, or comparisons. */
export function checkPacking(recipe: DataRecipe): void {
  const { task, dataset, training } = recipe;
  const form = rowFormOf(recipe);
  if (!training.packing || form === 'causal_lm') return;
  const place = { file: firstPathOf(dataset), key: 'training.packing' };
  if (form === 'preference' || form === 'unpaired')
    throw new LoraError(
      'recipe',
      'training.packing is for rows that are learned one by one: answers that are compared stay in rows of their own, whose log-probabilities are added up.',
      { place, fix: 'Set it to false.' },
    );
  throw new LoraError(
    'recipe',
    `training.packing is for the task causal_lm only, but the task is ${task}.`,
    { place, fix: 'Set it to false.' },
  );
}
