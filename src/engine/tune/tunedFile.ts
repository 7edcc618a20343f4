import path from 'node:path';
import { createFile } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import { parseRecipe } from '../../shared/recipeFile';
import type { SweepRecord } from '../../shared/sweep/record';
import type { TuneRecord } from '../../shared/tune/record';
import { describeReason, outcomeOf, tunedName, tunedText } from '../../shared/tune/tunedRecipe';
import { readRecipeText } from '../training/readRecipe';
import { tunedFile } from './newTune';

/**
 * Writes the best recipe of a tune beside the recipe that it was started with, under a name that is
 * free. Null: no configuration has a score. A tune that already wrote one with the same content
 * returns its file.
 */
export async function writeTunedRecipe(
  folder: string,
  sweep: SweepRecord,
  tune: TuneRecord,
): Promise<string | null> {
  const outcome = outcomeOf(sweep, tune);
  if (!outcome) return null;
  const original = tunedFile(folder, sweep);
  const variant = path.join(folder, tune.trials[outcome.trial]!.recipe);
  const text = tunedText(await readRecipeText(original), {
    keys: sweep.vary.map(({ key }) => key),
    tuned: parseRecipe(await readRecipeText(variant), variant),
    reason: [`Found by lora tune.`, ...describeReason(sweep, tune, outcome)],
  });
  for (let number = 1; ; number++) {
    const file = path.join(path.dirname(original), tunedName(original, number));
    if (await pathExists(file)) {
      if ((await readRecipeText(file).catch(() => null)) === text) return file;
      continue;
    }
    parseRecipe(text, file);
    await createFile(file, text).catch((error: unknown) => {
      throw LoraError.from(error, 'disk');
    });
    return file;
  }
}
