import type { LoraFactors } from './adapter';

/** The paths of an embedding and of an output layer that shares its weight. */
export interface TiedPaths {
  readonly embedding: string;
  readonly output: string;
}

/**
 * The factors of an output layer that change the shared weight as those of the embedding do, or the
 * other way round: (BA)ᵀ = AᵀBᵀ.
 */
export function tiedFactors(m: LoraFactors, path: string, scaling: number): LoraFactors {
  const { r, in_features, out_features } = m;
  return {
    path,
    kind: m.kind === 'embedding' ? 'linear' : 'embedding',
    r,
    in_features: out_features,
    out_features: in_features,
    scaling,
    A: transpose(m.B, out_features, r),
    B: transpose(m.A, r, in_features),
    magnitude: null,
  };
}

/** Whether A and B of each are the transposed B and A of the other. */
export function areTransposed(a: LoraFactors, b: LoraFactors): boolean {
  const isPair =
    a.r === b.r && a.in_features === b.out_features && a.out_features === b.in_features;
  if (!isPair) return false;
  const { A, B } = tiedFactors(a, b.path, b.scaling);
  return areEqual(A, b.A) && areEqual(B, b.B);
}

/** Whether all numbers are the same. */
export const areEqual = (a: Float32Array, b: Float32Array): boolean =>
  a === b || (a.length === b.length && a.every((x, i) => x === b[i]));

function transpose(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = data[row * columns + column]!;
  return result;
}

/** Whether the path is that of an output layer that can share the embedding's weight. */
export const isOutputPath = (path: string): boolean => /^(?:lm_head|embed_out)$/.test(path);

/**
 * The keys of a derived adapter: where both layers have factors of their own, these are no longer
 * each other's transposed ones, only their products are.
 */
export function withoutTying(
  raw: Readonly<Record<string, unknown>>,
  modules: readonly Pick<LoraFactors, 'path' | 'kind'>[],
): Readonly<Record<string, unknown>> {
  const hasBoth =
    modules.some((m) => m.kind === 'embedding') && modules.some((m) => isOutputPath(m.path));
  return raw['ensure_weight_tying'] === true && hasBoth
    ? { ...raw, ensure_weight_tying: false }
    : raw;
}
