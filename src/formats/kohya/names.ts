import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';

/** The prefix of a model's own text encoder, or of a language model. */
const TEXT = 'lora_te_';
const ANY_PREFIX = /^lora_(?:te\d?|unet|transformer|text_encoder|llm)_|^lora_/;

/** A path with underscores instead of dots. */
export const flat = (path: string): string => path.replaceAll('.', '_');
/** A name in kohya's files without `lora_te_`, `lora_unet_` and so on. */
export const withoutPrefix = (name: string): string => name.replace(ANY_PREFIX, '');

/** Modules of pipelines in Diffusers' and ComfyUI's files, and the prefix of their names. */
const PIPELINES: readonly (readonly [RegExp, string])[] = [
  [/^(?:model\.)?diffusion_model\./, 'lora_unet_'],
  [/^unet\./, 'lora_unet_'],
  [/^text_encoder_2\./, 'lora_te2_'],
  [/^text_encoder_3\./, 'lora_te3_'],
  [/^transformer\.(?!(?:h|layer)\.|wte$|wpe$)/, 'lora_transformer_'],
];
/** Parts of a UNet or an image transformer, where a path lacks the model's name. */
const IMAGE_PARTS =
  /^(?=(?:down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks|double_blocks|single_blocks|joint_blocks|time_embedding|time_embed|add_embedding|label_emb|conv_in|conv_out)(?:\.|$))/;

/**
 * Metadata that an adapter keeps in the format of PEFT when its modules had dotted names in a file
 * with kohya's factors (`diffusion_model.x.lora_down.weight`), as some tools write them.
 */
export const DOTTED_NAMES = { kohya_names: 'dotted' } as const;

/**
 * The names of modules in kohya's files. Those that were read from such a file are kept; a path
 * gets the prefix of its model and underscores instead of dots.
 *
 * @throws LoraError('adapter') when two modules have the same name.
 */
export function kohyaNames(
  { modules: own, has_dotted_names = false }: Pick<Adapter, 'modules' | 'has_dotted_names'>,
  file: string,
): ReadonlyMap<string, string> {
  const paths = own.map((m) => m.path);
  if (has_dotted_names) return new Map(paths.map((path) => [path, path]));
  const firstEncoder = hasSeveralEncoders(paths) ? 'lora_te1_' : TEXT;
  const names = new Map<string, string>();
  const modules = new Map<string, string>();
  for (const path of paths) {
    const name = kohyaName(path, firstEncoder);
    const other = modules.get(name);
    if (other !== undefined && other !== path)
      throw new LoraError(
        'adapter',
        `${other} and ${path} have the same name in kohya's files: ${name}.`,
        { place: { file }, fix: 'Choose another format.' },
      );
    modules.set(name, path);
    names.set(path, name);
  }
  return names;
}

function kohyaName(path: string, firstEncoder: string): string {
  if (/^(?:lora|lycoris)_[^.]+$/.test(path)) return path;
  const rules = [
    ...PIPELINES,
    [/^text_encoder\./, firstEncoder],
    [IMAGE_PARTS, 'lora_unet_'],
  ] as const;
  const rule = rules.find(([prefix]) => prefix.test(path));
  return rule ? rule[1] + flat(path.replace(rule[0], '')) : TEXT + flat(path);
}

/** SDXL, SD 3 and Flux number their text encoders; SDXL's UNet has deeper blocks than SD's. */
const hasSeveralEncoders = (paths: readonly string[]): boolean =>
  paths.some(
    (path) =>
      /^(?:text_encoder_[23]|transformer)\./.test(path) ||
      /^unet\..*\.transformer_blocks\.[1-9]/.test(path),
  );

/**
 * The path of a module, given its name in a file: that of a text encoder is guessed, all others
 * keep their names, since no base says where the dots were.
 */
export const pathOfKohyaName = (name: string): string =>
  !name.includes('.') && name.startsWith(TEXT) ? guessedPath(name.slice(TEXT.length)) : name;

/**
 * What is the same for all spellings of a module: the name in kohya's files without what depends on
 * the version of the model's class, such as `language_model`, or on the number of text encoders.
 */
export const comparableName = (path: string): string =>
  kohyaName(path, TEXT)
    .replace(/^lora_(?:te1|llm|text_encoder)_/, TEXT)
    .replace(/^(lora_te\d?_)(?:model_|language_model_|text_model_)+/, '$1');

/** Parts of module paths with underscores: those of the supported families and of CLIP. */
const PARTS = new Set([
  'self_attn',
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'out_proj',
  'qkv_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
  'gate_up_proj',
  'c_attn',
  'c_proj',
  'c_fc',
  'gpt_neox',
  'query_key_value',
  'dense_h_to_4h',
  'dense_4h_to_h',
  'embed_out',
  'lm_head',
  'q_lin',
  'k_lin',
  'v_lin',
  'out_lin',
  'text_model',
  'patch_embeddings',
  'pre_classifier',
]);
const LONGEST = Math.max(...[...PARTS].map((part) => part.split('_').length));

/** The likeliest path of a flat name: known parts stay whole, the longest first, from the left. */
export function guessedPath(name: string): string {
  const words = name.split('_');
  const parts: string[] = [];
  for (let at = 0; at < words.length;) {
    let length = Math.min(LONGEST, words.length - at);
    while (length > 1 && !PARTS.has(words.slice(at, at + length).join('_'))) length--;
    parts.push(words.slice(at, at + length).join('_'));
    at += length;
  }
  return parts.join('.');
}
