import type { LoraFactors } from './adapter';
import { gramSchmidtQr } from './linalg/gramSchmidt';
import { jacobiSvd } from './linalg/jacobiSvd';
import { dotProduct, linearCombination } from './linalg/vectors';

type Factors = Pick<LoraFactors, 'A' | 'B' | 'r' | 'in_features' | 'out_features' | 'scaling'>;

/** SVD of dW = s·BA with k = min(r, in, out) singular values. */
export interface UpdateSvd {
  readonly S: Float64Array; // [k], descending
  /** Left singular vectors, [out] each. */
  readonly left: readonly Float64Array[];
  /** Right singular vectors, [in] each. */
  readonly right: readonly Float64Array[];
}

/** Vectors by their coordinates in an orthonormal basis: vector k is Σ coordinates[k][i] · Q[i]. */
export interface VectorsInBasis {
  readonly Q: readonly Float64Array[];
  readonly coordinates: readonly Float64Array[];
}

/** As UpdateSvd, with the singular vectors by their coordinates. */
export interface ImplicitUpdateSvd {
  readonly S: Float64Array;
  readonly left: VectorsInBasis;
  readonly right: VectorsInBasis;
}

/**
 * The SVD of an update from its factors alone: QR of B and Aᵀ, then the SVD of an r x r matrix. No
 * array is larger than a factor.
 */
export function updateSvd(factors: Factors): UpdateSvd {
  const { S, left, right } = implicitUpdateSvd(factors);
  return { S, left: writtenOut(left), right: writtenOut(right) };
}

const writtenOut = ({ Q, coordinates }: VectorsInBasis): Float64Array[] =>
  coordinates.map((own) => linearCombination(Q, own));

/** As `updateSvd`, without computing the singular vectors themselves. */
export function implicitUpdateSvd(factors: Factors): ImplicitUpdateSvd {
  const { r, in_features, out_features } = factors;
  const { left, right, core } = reduceToCore(factors);
  const { U, S, V } = jacobiSvd(core);
  const k = Math.min(r, out_features, in_features);
  return {
    S: S.slice(0, k),
    left: { Q: left, coordinates: U.slice(0, k) },
    right: { Q: right, coordinates: V.slice(0, k) },
  };
}

/** [i][j]: inner product of vector i of `a` and vector j of `b`, from those of their bases. */
export function innerProducts(a: VectorsInBasis, b: VectorsInBasis): number[][] {
  const crossed = a.Q.map((p) => Float64Array.from(b.Q, (q) => dotProduct(p, q))); // [r_a, r_b]
  return a.coordinates.map((own) => {
    const row = linearCombination(crossed, own);
    return b.coordinates.map((other) => dotProduct(row, other));
  });
}

/** With B = Q_B R_B and Aᵀ = Q_A R_A: Q_B, Q_A, and the columns of s·R_B R_Aᵀ. */
function reduceToCore({ A, B, r, in_features, out_features, scaling }: Factors) {
  const b = gramSchmidtQr(columnsOf(B, out_features, r));
  const a = gramSchmidtQr(rowsOf(A, r, in_features));
  const core = a.R.map((own) =>
    Float64Array.from(b.R, (other) => scaling * other.reduce((sum, x, k) => sum + x * own[k]!, 0)),
  );
  return { left: b.Q, right: a.Q, core };
}

function rowsOf(matrix: Float32Array, rows: number, columns: number): Float64Array[] {
  return Array.from(
    { length: rows },
    (_, k) => new Float64Array(matrix.subarray(k * columns, (k + 1) * columns)),
  );
}

function columnsOf(matrix: Float32Array, rows: number, columns: number): Float64Array[] {
  return Array.from({ length: columns }, (_, k) => {
    const column = new Float64Array(rows);
    for (let i = 0; i < rows; i++) column[i] = matrix[i * columns + k]!;
    return column;
  });
}

/** ‖s·BA‖F, without forming the product. */
export function updateNorm(factors: Factors): number {
  const { core } = reduceToCore(factors);
  return Math.sqrt(core.reduce((sum, column) => sum + dotProduct(column, column), 0));
}

/**
 * Σ weight · dW of updates of one layer, exactly: the factors side by side, with the sum of the
 * ranks and scaling 1.
 */
export function sumUpdates(
  parts: readonly { readonly factors: Factors; readonly weight: number }[],
): Factors {
  const { in_features, out_features } = parts[0]!.factors;
  const r = parts.reduce((sum, { factors }) => sum + factors.r, 0);
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  let start = 0; // first rank of the part
  for (const { factors, weight } of parts) {
    A.set(factors.A, start * in_features);
    for (let o = 0; o < out_features; o++) {
      for (let k = 0; k < factors.r; k++) {
        B[o * r + start + k] = weight * factors.scaling * factors.B[o * factors.r + k]!;
      }
    }
    start += factors.r;
  }
  return { A, B, r, in_features, out_features, scaling: 1 };
}
