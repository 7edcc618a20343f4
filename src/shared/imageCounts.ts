/** Bytes of decoded and resized images of chats that are kept, at most (src/data/images). */
export const KEPT_PICTURES = 128 * 2 ** 20;

/** The images in the texts of a dataset. */
export interface ImageCounts {
  /** Patches of the largest one. */
  readonly largest: number;
  /** Tokens of all of them. */
  readonly tokens: number;
}

/** Those of several sets. Undefined: there are none. */
export function joinedImages(
  sets: readonly { readonly images?: ImageCounts | undefined }[],
): ImageCounts | undefined {
  const all = sets.flatMap(({ images }) => images ?? []);
  if (all.length === 0) return undefined;
  return {
    largest: Math.max(...all.map(({ largest }) => largest)),
    tokens: all.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}
