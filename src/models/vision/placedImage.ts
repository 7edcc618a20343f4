/** Patches of an image, along its sides. */
export interface ImageGrid {
  readonly height: number;
  readonly width: number;
}

/** An image whose vectors stand in place of tokens of a batch. */
export interface PlacedImage {
  /** Where its first token is among batch · length. */
  readonly at: number;
  readonly grid: ImageGrid;
  /** Names it among the images whose vectors are kept; a changed file has another one. */
  readonly key: () => Promise<string>;
  /**
   * The samples of its patches, those of a token one after the other: [height · width, channels ·
   * frames · side²]. Rejects with LoraError('dataset') where the image cannot be read.
   */
  readonly patches: () => Promise<Float32Array>;
}

/** What the tower makes of an image, each [tokens, d]. */
export interface ImageVectors {
  readonly tokens: number;
  /** In the places of the tokens. */
  readonly vectors: Float32Array;
  /** Added after the first layer, the second, … */
  readonly deepstack: readonly Float32Array[];
}

/** Patches in the order in which the tower reads them: those of a token one after the other. */
export function patchOrder({ height, width }: ImageGrid, merge: number): ImagePlaces {
  const rows = new Int32Array(height * width);
  const columns = new Int32Array(height * width);
  let at = 0;
  for (let y = 0; y < height; y += merge)
    for (let x = 0; x < width; x += merge)
      for (let i = 0; i < merge * merge; i++, at++) {
        rows[at] = y + Math.floor(i / merge);
        columns[at] = x + (i % merge);
      }
  return { rows, columns };
}

/** The row and column of each patch. */
export interface ImagePlaces {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

/** The vectors of several images, one after the other. */
export function joinedVectors(all: readonly ImageVectors[]): ImageVectors {
  const [first] = all;
  if (first && all.length === 1) return first;
  return {
    tokens: all.reduce((sum, { tokens }) => sum + tokens, 0),
    vectors: joined(all.map(({ vectors }) => vectors)),
    deepstack: (first?.deepstack ?? []).map((_, i) =>
      joined(all.map(({ deepstack }) => deepstack[i]!)),
    ),
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
