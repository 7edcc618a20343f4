/** mlx-lm's models have the checkpoint's paths, except GPT-2 and GPT-NeoX. */
const TO_MLX: readonly (readonly [RegExp, string])[] = [
  [/^transformer\./, 'model.'],
  [/^gpt_neox\.layers\./, 'model.h.'],
  [/^gpt_neox\./, 'model.'],
  [/^embed_out$/, 'model.embed_out'],
];
const FROM_MLX: readonly (readonly [RegExp, string])[] = [
  [/^model\.h\.(?=\d+\.(?:attention\.|mlp\.dense_))/, 'gpt_neox.layers.'],
  [/^model\.embed_in$/, 'gpt_neox.embed_in'],
  [/^model\.embed_out$/, 'embed_out'],
  [/^model\.(?=h\.|wte$|wpe$)/, 'transformer.'],
];

/** Where mlx-lm's vision-language models have their language model. */
const WITHIN = 'language_model.';

const renamed = (path: string, table: typeof TO_MLX) => {
  const found = table.find(([from]) => from.test(path));
  return found ? path.replace(found[0], found[1]) : path;
};

/**
 * A module's path in mlx-lm. `isWithin`: the base is the language model of a vision-language
 * model.
 */
export const toMlxPath = (path: string, isWithin = false): string => {
  const own = renamed(path, TO_MLX).replace(/^model\.(?:language|text)_model\./, `${WITHIN}model.`);
  return isWithin && !own.startsWith(WITHIN) ? WITHIN + own : own;
};
/** A module's path in the checkpoint, given that in mlx-lm. */
export const fromMlxPath = (path: string): string => renamed(path, FROM_MLX);

/** The entry of `keys` in lora_parameters: a path within a layer; outside of layers, all of it. */
export const keyOf = (mlxPath: string): string =>
  /^(?:language_model\.)?model\.(?:layers|h)\.\d+\.(.+)$/.exec(mlxPath)?.[1] ?? mlxPath;
