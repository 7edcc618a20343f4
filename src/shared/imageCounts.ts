/** Bytes of decoded and resized images of chats that are kept, at most (src/data/images). */
export const KEPT_PICTURES = 128 * 2 ** 20;

/** The images in the texts of a dataset. */
export interface ImageCounts {
  /** Patches of the largest one. */
  readonly largest: number;
  /** Tokens of all of them. */
  readonly tokens: number;
}
