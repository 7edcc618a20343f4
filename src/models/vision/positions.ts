import type { ImageGrid, ImagePlaces } from './placedImage';

/** A learned position near a place, and how much of it counts. */
interface Tap {
  readonly at: number;
  readonly weight: number;
}

/**
 * The positions of an image's patches between those of a square of `side` patches [side², d], as
 * transformers interpolates them for Qwen3-VL (bilinear, align_corners on). [patches, d]
 */
export function interpolatedPositions(
  table: Float32Array,
  side: number,
  { height, width }: ImageGrid,
  { rows, columns }: ImagePlaces,
): Float32Array {
  const d = table.length / side ** 2;
  const [down, across] = [axisTaps(height, side), axisTaps(width, side)];
  const positions = new Float32Array(rows.length * d);
  for (let patch = 0; patch < rows.length; patch++)
    for (const y of down[rows[patch]!]!)
      for (const x of across[columns[patch]!]!) {
        const weight = Math.fround(y.weight * x.weight);
        const from = (y.at * side + x.at) * d;
        for (let i = 0; i < d; i++) positions[patch * d + i]! += weight * table[from + i]!;
      }
  return positions;
}

/** For each of `length` places along an axis, the two of `side` that it lies between. */
const axisTaps = (length: number, side: number): readonly (readonly Tap[])[] =>
  Array.from({ length }, (_, i) => {
    const place = length === 1 ? 0 : Math.fround((i * (side - 1)) / (length - 1));
    const first = Math.floor(place);
    const share = Math.fround(place - first);
    return [
      { at: first, weight: 1 - share },
      { at: Math.min(side - 1, first + 1), weight: share },
    ];
  });
