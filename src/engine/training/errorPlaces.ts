import { readFile } from 'node:fs/promises';
import { LoraError } from '../../shared/errors';
import { placeOfKey } from '../../shared/recipeFile';

/**
 * An error of the worker as the user is to see it: the worker knows neither the recipe's file nor
 * how the run goes on.
 */
export async function errorForUser(
  error: LoraError,
  runDir: string,
  recipePath: string | null,
): Promise<LoraError> {
  if (error.area === 'disk') return diskErrorForUser(error, runDir);
  return error.area === 'recipe' && recipePath !== null ? recipeError(error, recipePath) : error;
}

/**
 * With what to do, and with the place's final name instead of the one under which it was being
 * written.
 */
export function diskErrorForUser(error: LoraError, runDir: string): LoraError {
  const { place, fix = `Free some room, then go on: lora train --resume ${runDir}` } = error;
  const file = place?.file.replace(/\.\d+\.tmp(?=[\\/]|$)/, '');
  return new LoraError('disk', error.message, {
    ...(place && file !== undefined && { place: { ...place, file } }),
    fix,
    cause: error.cause,
  });
}

/** At the key's line in the recipe, where it is still there. */
async function recipeError(error: LoraError, recipePath: string): Promise<LoraError> {
  const text = await readFile(recipePath, 'utf8').catch(() => null);
  if (text === null || error.place?.key === undefined) return error;
  return new LoraError('recipe', error.message, {
    place: placeOfKey(text, recipePath, error.place.key),
    ...(error.fix !== undefined && { fix: error.fix }),
    cause: error.cause,
  });
}
