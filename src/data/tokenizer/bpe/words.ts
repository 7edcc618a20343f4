/** How SentencePiece models write a space. */
const SPACE = '\u2581';
const WORDS = /\u2581+[^\u2581]*|[^\u2581]+/g;

/**
 * Splits pieces before each space, so that words can be remembered one by one. Null where a merge
 * joins a space to the text before it: only without one the tokens are the same.
 */
export function wordSplitter(
  merges: readonly (readonly [string, string])[],
): ((pieces: readonly string[]) => string[]) | null {
  const crosses = merges.some(([left, right]) => !left.endsWith(SPACE) && right.startsWith(SPACE));
  return crosses ? null : (pieces) => pieces.flatMap((piece) => piece.match(WORDS) ?? []);
}
