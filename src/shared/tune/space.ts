import type { Recipe } from '../recipe';
import type { VariedKey } from '../sweep/vary';

export const RATE_KEY = 'training.learning_rate';
export const RANK_KEY = 'lora.r';

/** Around the recipe's rate, of which nothing is known, and around that of a range test. */
const WIDE = [0.1, 0.32, 1, 3.2, 10];
const NARROW = [0.25, 0.5, 1, 2, 4];
const RANK_FACTORS = [0.5, 1, 2, 4];
const MAX_RANK = 256;

/** The keys whose values a tune chooses, unless they are given. */
export const chosenKeys = (recipe: Recipe): readonly string[] => [
  RATE_KEY,
  ...(recipe.training.method === 'full' || recipe.lora.init_adapter !== null ? [] : [RANK_KEY]),
];

/**
 * What a tune varies: what is given, and for learning rate and rank values around those of the
 * recipe, or around the rate of a range test.
 */
export function tunedKeys(
  recipe: Recipe,
  given: readonly VariedKey[],
  suggestion: number | null,
): readonly VariedKey[] {
  const chosen = chosenKeys(recipe)
    .filter((key) => !given.some((own) => own.key === key))
    .map((key) => ({
      key,
      values: key === RATE_KEY ? ratesOf(recipe, suggestion) : ranksOf(recipe),
    }));
  return [...chosen, ...given];
}

function ratesOf({ training }: Recipe, suggestion: number | null): readonly number[] {
  const [center, factors] =
    suggestion === null ? [training.learning_rate, WIDE] : [suggestion, NARROW];
  return factors.map((factor) => Number((center * factor).toPrecision(2)));
}

const ranksOf = ({ lora }: Recipe): readonly number[] => [
  ...new Set(
    RANK_FACTORS.map((factor) => Math.min(MAX_RANK, Math.max(1, Math.round(lora.r * factor)))),
  ),
];
