import { LoraError } from '../errors';
import { withRank } from '../pages/configure/withRank';
import type { Recipe } from '../recipe';
import { checkRecipe } from '../recipeFile';
import { isObject } from '../values';
import { stemOf } from './places';
import { pathOfKey, shortNames } from './recipeKeys';
import { valueText } from './valueText';
import type { VariedKey } from './vary';

/** More runs than this would take days and could not be distinguished in a chart. */
export const MAX_SWEEP_RUNS = 64;
const MAX_RANK = 1024;
const MAX_NAME_LENGTH = 100;
const RANK = 'lora.r';

/** One run of a sweep. */
export interface Variant {
  /** Of its recipe within the sweep's folder, such as r1.lora.json. */
  readonly file: string;
  /** Of the run: "git r 1". */
  readonly name: string;
  /** One value for each varied key. */
  readonly values: readonly unknown[];
  readonly recipe: Recipe;
}

/**
 * A variant of a recipe for each combination of the values, the last key changing fastest. Another
 * rank keeps the scaling factor of the original unless lora_alpha is varied as well.
 *
 * @param recipe The recipe of `file`, with absolute paths.
 * @throws LoraError('usage') when a variant is no valid recipe or the sweep makes no sense
 */
export function variantsOf(
  file: string,
  recipe: Recipe,
  varied: readonly VariedKey[],
): readonly Variant[] {
  refuseRepeated(varied);
  const count = varied.reduce((product, { values }) => product * values.length, 1);
  if (count > MAX_SWEEP_RUNS)
    throw new LoraError(
      'usage',
      `The sweep would have ${count} runs; ${MAX_SWEEP_RUNS} are the most.`,
    );
  const keys = varied.map(({ key }) => key);
  const combinations = varied.reduce<readonly (readonly unknown[])[]>(
    (rows, { values }) => rows.flatMap((row) => values.map((value) => [...row, value])),
    [[]],
  );
  const names = shortNames(keys);
  const files = fileNames(names, combinations);
  return combinations.map((values, i) => {
    const parts = names.map((name, k) => `${name} ${valueText(values[k])}`);
    return {
      file: files[i]!,
      name: `${stemOf(file)} ${parts.join(', ')}`,
      values,
      recipe: variantOf(file, recipe, { keys, values }),
    };
  });
}

function refuseRepeated(varied: readonly VariedKey[]): void {
  const keys = varied.map(({ key }) => key);
  const repeated = keys.find((key, i) => keys.indexOf(key) !== i);
  if (repeated === undefined) return;
  throw new LoraError('usage', `"${repeated}" is varied twice: give all of its values at once.`);
}

interface Settings {
  readonly keys: readonly string[];
  readonly values: readonly unknown[];
}

function variantOf(file: string, recipe: Recipe, { keys, values }: Settings): Recipe {
  const changed = keys.reduce<Record<string, unknown>>(
    (object, key, i) => withValue(object, pathOfKey(key), values[i]),
    recipe,
  );
  const variant = checked(file, changed);
  refuseWithoutEffect(variant, keys);
  if (!keys.includes(RANK)) return variant;
  const { r } = variant.lora;
  if (r > MAX_RANK)
    throw new LoraError('usage', `"${RANK}" must be at most ${MAX_RANK} in a sweep, not ${r}.`);
  if (keys.includes('lora.lora_alpha')) return variant;
  const before = { ...variant.lora, r: recipe.lora.r };
  return { ...variant, lora: { ...variant.lora, ...withRank(before, r) } };
}

function withValue(
  object: Record<string, unknown>,
  [key, ...rest]: readonly string[],
  value: unknown,
): Record<string, unknown> {
  if (rest.length === 0) return { ...object, [key!]: value };
  const inner = object[key!];
  if (!isObject(inner))
    throw new LoraError(
      'usage',
      `Keys of "${key!}" cannot be varied, because it is given as text.`,
    );
  return { ...object, [key!]: withValue(inner, rest, value) };
}

/** Values of the command line may be wrong, and paths relative to the recipe. */
function checked(file: string, changed: object): Recipe {
  const { recipe, problems } = checkRecipe(JSON.stringify(changed), file);
  if (recipe) return recipe;
  const messages = [...new Set(problems.map(({ message }) => message))];
  throw new LoraError('usage', `A run of the sweep would not be valid. ${messages.join(' ')}`);
}

/** Runs that differ in nothing but a setting that is not used would be taken for a result. */
function refuseWithoutEffect({ training, lora }: Recipe, keys: readonly string[]): void {
  const ofAdapter = keys.find((key) => key.startsWith('lora.'));
  if (training.method === 'full' && ofAdapter !== undefined)
    throw new LoraError('usage', `"${ofAdapter}" has no effect with training.method "full".`);
  const ofStart = keys.find((key) => key === RANK || key === 'lora.target_modules');
  if (lora.init_adapter !== null && ofStart !== undefined)
    throw new LoraError(
      'usage',
      `"${ofStart}" has no effect with lora.init_adapter, whose own is used.`,
    );
}

/** r1.lora.json, r1-learning_rate-1e-4.lora.json; numbered where such names would not do. */
function fileNames(
  names: readonly string[],
  combinations: readonly (readonly unknown[])[],
): readonly string[] {
  const stems = combinations.map((values) =>
    names.map((name, k) => filePart(name, valueText(values[k]))).join('-'),
  );
  const isUsable =
    new Set(stems.map((stem) => stem.toLowerCase())).size === stems.length &&
    stems.every((stem) => stem.length <= MAX_NAME_LENGTH);
  return stems.map(
    (stem, i) => `${isUsable ? stem : `run-${String(i + 1).padStart(2, '0')}`}.lora.json`,
  );
}

function filePart(name: string, value: string): string {
  const part = name === 'r' ? `r${value}` : `${name}-${value}`;
  return part.replace(/[^\w.-]+/g, '_');
}
