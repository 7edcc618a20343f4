import type { LoraFactors } from './adapter';

/** Initializations that need no weights of the base. */
export type PlainInit = 'default' | 'gaussian' | 'orthogonal';

type FactorPair = Pick<LoraFactors, 'A' | 'B'>;
type FactorShape = Pick<LoraFactors, 'r' | 'in_features' | 'out_features'>;

/** A and B of a new module, by `initialFactors`. `random`: from 0 to 1. */
export function drawFactors(
  shape: FactorShape & Pick<LoraFactors, 'kind'>,
  init: PlainInit,
  random: () => number,
): FactorPair {
  const { kind, r, in_features, out_features } = shape;
  if (kind === 'embedding')
    return { A: new Float32Array(r * in_features), B: normals(out_features * r, 1, random) };
  if (init === 'orthogonal') return drawOrthogonal(shape, random);
  const A =
    init === 'gaussian'
      ? normals(r * in_features, 1 / r, random)
      : uniforms(r * in_features, 1 / Math.sqrt(in_features), random);
  return { A, B: new Float32Array(out_features * r) };
}

/** Uniform in ±bound. */
const uniforms = (size: number, bound: number, random: () => number): Float32Array =>
  Float32Array.from({ length: size }, () => (2 * random() - 1) * bound);

const normals = (size: number, deviation: number, random: () => number): Float32Array =>
  Float32Array.from({ length: size }, () => deviation * standardNormal(random));

/** Box and Muller 1958. */
function standardNormal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/**
 * A = Q_evenᵀ u and B = v Q_odd with the rows of an orthogonal Q [r, r], so that BA = 0. Of an odd
 * rank, the last row of Q is not used.
 */
function drawOrthogonal(
  { r, in_features, out_features }: FactorShape,
  random: () => number,
): FactorPair {
  const half = r >> 1;
  const q = orthonormalRows(r, random);
  const u = normals(in_features * half, 0.1, random);
  const v = normals(out_features * half, 0.1, random);
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  for (let k = 0; k < half; k++) {
    for (let j = 0; j < r; j++) {
      const [even, odd] = [q[2 * k * r + j]!, q[(2 * k + 1) * r + j]!];
      for (let i = 0; i < in_features; i++) A[j * in_features + i]! += even * u[i * half + k]!;
      for (let o = 0; o < out_features; o++) B[o * r + j]! += odd * v[o * half + k]!;
    }
  }
  return { A, B };
}

/** A random orthogonal matrix [r, r], by Gram-Schmidt, twice for accuracy. */
function orthonormalRows(r: number, random: () => number): Float64Array {
  const q = Float64Array.from({ length: r * r }, () => standardNormal(random));
  const rows = Array.from({ length: r }, (_, i) => q.subarray(i * r, (i + 1) * r));
  for (const [i, row] of rows.entries()) {
    for (let pass = 0; pass < 2; pass++) {
      for (const before of rows.slice(0, i)) {
        const along = row.reduce((sum, x, j) => sum + x * before[j]!, 0);
        row.forEach((x, j) => (row[j] = x - along * before[j]!));
      }
    }
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    row.forEach((x, j) => (row[j] = x / length));
  }
  return q;
}
