import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { RECIPE_KEYS } from '../../shared/sweep/recipeKeys';
import { variantsOf } from '../../shared/sweep/variants';
import { parseValues, type VariedKey } from '../../shared/sweep/vary';
import { isObject } from '../../shared/values';
import { t } from '../text/l10n';
import { askText, pickRows } from '../ui/inputs';
import { suggestedValues } from './sweepRuns';

/** What most sweeps vary comes first. */
const FIRST_KEYS = ['lora.r', 'training.learning_rate', 'training.seed'];

/**
 * Asks for the keys to vary, and for the values of each. Undefined: cancelled.
 *
 * @param recipe The recipe of `file`.
 */
export async function askVaried(
  file: string,
  recipe: Recipe,
): Promise<readonly VariedKey[] | undefined> {
  const keys = await askKeys(recipe);
  if (!keys || keys.length === 0) return undefined;
  const varied: VariedKey[] = [];
  for (const key of keys) {
    const parse = (text: string): VariedKey => ({ key, values: parseValues(text) });
    const text = await askText({
      title: t('Sweep'),
      value: suggestedValues(key, valueOf(recipe, key)),
      prompt: t('Values of {0}, separated by commas.', key),
      validate: (value) => problemOf(() => variantsOf(file, recipe, [...varied, parse(value)])),
    });
    if (text === undefined) return undefined;
    varied.push(parse(text));
  }
  return varied;
}

async function askKeys(recipe: Recipe): Promise<readonly string[] | undefined> {
  const others = RECIPE_KEYS.filter((key) => !FIRST_KEYS.includes(key));
  const rows = [...FIRST_KEYS, ...others].map((key) => ({
    label: key,
    description: JSON.stringify(valueOf(recipe, key)),
  }));
  const picked = await pickRows(rows, () => false, {
    title: t('Sweep'),
    placeHolder: t('Select the keys to vary. A run for each combination of their values is queued'),
  });
  return picked?.map(({ label }) => label);
}

const valueOf = (recipe: Recipe, key: string): unknown =>
  key
    .split('.')
    .reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), recipe);

/** The problem of an answer; undefined if there is none. */
function problemOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return LoraError.from(error, 'usage').message;
  }
}
