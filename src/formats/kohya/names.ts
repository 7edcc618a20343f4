const PREFIX = 'lora_te_';
const ANY_PREFIX = /^lora_(?:te\d?|unet|transformer|text_encoder|llm)_|^lora_/;

/** The name of a module in kohya's files: its path with underscores instead of dots. */
export const kohyaName = (path: string): string => PREFIX + flat(path);
/** A path with underscores instead of dots. */
export const flat = (path: string): string => path.replaceAll('.', '_');
/** A name in kohya's files without `lora_te_`, `lora_unet_` and so on. */
export const withoutPrefix = (name: string): string => name.replace(ANY_PREFIX, '');

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
