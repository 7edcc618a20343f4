import type { Loss } from './loss';

/** The vectors of triplets, row-major: all anchors, all positives, all negatives. */
interface Triplets {
  readonly vectors: Float32Array | Float64Array;
  readonly width: number;
  readonly weights?: Float32Array | undefined;
}

/** The difference of two vectors, and its length. */
interface Difference {
  readonly length: number;
  readonly parts: Float64Array;
}

/**
 * TripletLoss of sentence-transformers with Euclidean distances, summed over the rows, and its
 * gradient: max(0, |a - p| - |a - n| + margin). The slope of a distance of 0 is 0, as in PyTorch.
 */
export function tripletLoss({ vectors, width, weights }: Triplets, margin: number): Loss {
  const rows = vectors.length / width / 3;
  const gradient = new Float32Array(vectors.length);
  const difference = (i: number, j: number): Difference => {
    const parts = Float64Array.from(
      { length: width },
      (_, k) => vectors[i * width + k]! - vectors[j * width + k]!,
    );
    return { parts, length: Math.sqrt(parts.reduce((sum, x) => sum + x * x, 0)) };
  };
  const add = (row: number, { parts, length }: Difference, factor: number) => {
    if (length === 0) return;
    parts.forEach((x, k) => (gradient[row * width + k]! += (factor * x) / length));
  };
  let loss_sum = 0;
  let weight = 0;
  for (let i = 0; i < rows; i++) {
    const own = weights?.[i] ?? 1;
    const [positive, negative] = [difference(i, rows + i), difference(i, 2 * rows + i)];
    const loss = positive.length - negative.length + margin;
    weight += own;
    if (loss <= 0) continue;
    loss_sum += own * loss;
    add(i, positive, own);
    add(i, negative, -own);
    add(rows + i, positive, -own);
    add(2 * rows + i, negative, own);
  }
  return { loss_sum, labelled: rows, weight, gradient };
}
