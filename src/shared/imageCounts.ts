/** The images in the texts of a dataset. */
export interface ImageCounts {
  /** Patches of the largest one. */
  readonly largest: number;
  /** Tokens of all of them. */
  readonly tokens: number;
}
