/** More than any recipe has. */
const MAX_LENGTH = 1_000_000;

/**
 * Whether a JSON text is a recipe, whatever its file is called: an object with the keys that every
 * recipe has. A dataset is a list, or has other keys.
 */
export function looksLikeRecipe(text: string): boolean {
  if (text.length > MAX_LENGTH) return false;
  const body = text.replace(/^\uFEFF?(?:\s|\/\/[^\n]*\n|\/\*[\s\S]*?\*\/)*/, '');
  return body.startsWith('{') && ['base', 'dataset'].every((key) => hasKey(body, key));
}

const hasKey = (text: string, key: string) => new RegExp(`"${key}"\\s*:`).test(text);
