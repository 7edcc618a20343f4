import { LoraError } from '../errors';
import { nearestName } from '../nearest';
import { RecipeSchema } from '../recipe';
import { entriesOf } from '../schemaParts';

/** Objects of the recipe whose own keys are free: a key of theirs may contain dots. */
const OPEN_KEYS = ['lora.rank_pattern', 'lora.alpha_pattern', 'chat_template_kwargs'];

/** The dotted keys of all values of a recipe, such as lora.r. */
export const RECIPE_KEYS: readonly string[] = keysOf(RecipeSchema, '');

function keysOf(schema: unknown, prefix: string): string[] {
  return Object.entries(entriesOf(schema) ?? {})
    .filter(([name]) => !name.startsWith('$'))
    .flatMap(([name, inner]) =>
      entriesOf(inner) ? keysOf(inner, `${prefix}${name}.`) : [prefix + name],
    );
}

/**
 * The keys on the way to a value of the recipe.
 *
 * @throws LoraError('usage') with the nearest key when there is no such value
 */
export function pathOfKey(key: string): readonly string[] {
  if (RECIPE_KEYS.includes(key)) return key.split('.');
  const open = OPEN_KEYS.find((name) => key.startsWith(`${name}.`) && key !== `${name}.`);
  if (open !== undefined) return [...open.split('.'), key.slice(open.length + 1)];
  throw new LoraError('usage', unknownKey(key));
}

/** Whether a recipe has a value of this key. */
export function isRecipeKey(key: string): boolean {
  try {
    return pathOfKey(key).length > 0;
  } catch {
    return false;
  }
}

function unknownKey(key: string): string {
  const inside = RECIPE_KEYS.filter((known) => known.startsWith(`${key}.`));
  if (inside.length > 0) return `"${key}" is a group of keys: vary one of ${inside.join(', ')}.`;
  const nearest =
    RECIPE_KEYS.find((known) => lastPart(known) === lastPart(key)) ??
    nearestName(key, RECIPE_KEYS) ??
    keyWithNearestName(key);
  const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`;
  return `A recipe has no key "${key}".${hint}`;
}

function keyWithNearestName(key: string): string | undefined {
  const name = nearestName(lastPart(key), RECIPE_KEYS.map(lastPart));
  return RECIPE_KEYS.find((known) => lastPart(known) === name);
}

/** learning_rate for training.learning_rate. */
const lastPart = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

/** What the keys of a sweep are called in names and columns: their last part, if that is enough. */
export function shortNames(keys: readonly string[]): readonly string[] {
  const names = keys.map((key) => pathOfKey(key).at(-1)!);
  return names.map((name, i) =>
    names.indexOf(name) === names.lastIndexOf(name) ? name : keys[i]!,
  );
}
