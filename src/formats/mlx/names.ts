/** mlx-lm's models keep the checkpoint's paths, but for GPT-2's and GPT-NeoX's. */
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

const renamed = (path: string, table: typeof TO_MLX) => {
  const found = table.find(([from]) => from.test(path));
  return found ? path.replace(found[0], found[1]) : path;
};

export const toMlxPath = (path: string): string => renamed(path, TO_MLX);
export const fromMlxPath = (path: string): string => renamed(path, FROM_MLX);

/**
 * Path in a layer: what `keys` of lora_parameters names; modules outside of the layers are named
 * whole.
 */
export const keyOf = (mlxPath: string): string =>
  /^model\.(?:layers|h)\.\d+\.(.+)$/.exec(mlxPath)?.[1] ?? mlxPath;
