import { dotProduct, jacobiSvd } from './linalg';
import type { LoraFactors } from './adapter';

type Factors = Pick<LoraFactors, 'A' | 'B' | 'r' | 'in_features' | 'out_features' | 'scaling'>;

/**
 * dW = s·BA by its singular values, from the factors alone: QR of B and Aᵀ, then the SVD of an r x
 * r matrix. No array is larger than a factor.
 */
export interface UpdateSvd {
  /** Descending; as many as the smaller of r and the layer's sides. */
  readonly S: Float64Array;
  /** Left singular vectors [k, out] and right ones [k, in], a vector each. */
  readonly left: readonly Float64Array[];
  readonly right: readonly Float64Array[];
}

export function updateSvd(m: Factors): UpdateSvd {
  const { S, left, right } = implicitUpdateSvd(m);
  return {
    S,
    left: left.weights.map((own) => combined(left.Q, own)),
    right: right.weights.map((own) => combined(right.Q, own)),
  };
}

/** Vectors as weights of orthonormal columns: the k-th is Σ weights[k][i]·Q[i]. */
export interface Basis {
  readonly Q: readonly Float64Array[];
  readonly weights: readonly Float64Array[];
}

/** As `factored`, without writing the singular vectors out. */
export function implicitUpdateSvd(m: Factors): {
  readonly S: Float64Array;
  readonly left: Basis;
  readonly right: Basis;
} {
  const { left, right, core } = reduced(m);
  const { U, S, V } = jacobiSvd(core);
  const k = Math.min(m.r, m.out_features, m.in_features);
  return {
    S: S.slice(0, k),
    left: { Q: left, weights: U.slice(0, k) },
    right: { Q: right, weights: V.slice(0, k) },
  };
}

/** Products of all vectors of the one with all of the other, from those of their columns. */
export function innerProducts(a: Basis, b: Basis): number[][] {
  const crossed = a.Q.map((p) => Float64Array.from(b.Q, (q) => dotProduct(p, q))); // [r_a, r_b]
  return a.weights.map((u) => {
    const row = combined(crossed, u);
    return b.weights.map((v) => dotProduct(row, v));
  });
}

/** Orthonormal Q_B and Q_A, and the columns of s·R_B·R_Aᵀ, where B = Q_B R_B and Aᵀ = Q_A R_A. */
function reduced({ A, B, r, in_features, out_features, scaling }: Factors) {
  const b = orthonormal(columnsOf(B, out_features, r));
  const a = orthonormal(
    Array.from(
      { length: r },
      (_, k) => new Float64Array(A.subarray(k * in_features, (k + 1) * in_features)),
    ),
  );
  const core = a.R.map((own) =>
    Float64Array.from(b.R, (other) => scaling * other.reduce((sum, x, k) => sum + x * own[k]!, 0)),
  );
  return { left: b.Q, right: a.Q, core };
}

function columnsOf(matrix: Float32Array, rows: number, columns: number): Float64Array[] {
  return Array.from({ length: columns }, (_, k) => {
    const column = new Float64Array(rows);
    for (let i = 0; i < rows; i++) column[i] = matrix[i * columns + k]!;
    return column;
  });
}

/**
 * QR by modified Gram-Schmidt, twice over where much of a column was taken out (Björck 1994), in
 * place of the columns: Q a column each, R a row each. A column that depends on those before it has
 * a zero one in Q.
 */
function orthonormal(columns: readonly Float64Array[]): {
  readonly Q: readonly Float64Array[];
  readonly R: readonly Float64Array[];
} {
  const R = columns.map(() => new Float64Array(columns.length));
  const Q: Float64Array[] = [];
  for (const [k, column] of columns.entries()) {
    const before = Math.sqrt(dotProduct(column, column));
    const without = () => {
      for (let i = 0; i < k; i++) R[i]![k]! += takeOut(Q[i]!, column);
      return Math.sqrt(dotProduct(column, column));
    };
    let length = without();
    if (length < 0.7 * before) length = without();
    const isNew = length > 1e-13 * before;
    R[k]![k] = isNew ? length : 0;
    for (let n = 0; n < column.length; n++) column[n] = isNew ? column[n]! / length : 0;
    Q.push(column);
  }
  return { Q, R };
}

/** Takes out of x what lies along q; gives how much. */
function takeOut(q: Float64Array, x: Float64Array): number {
  const along = dotProduct(q, x);
  for (let n = 0; n < x.length; n++) x[n]! -= along * q[n]!;
  return along;
}

function combined(Q: readonly Float64Array[], weights: Float64Array): Float64Array {
  const sum = new Float64Array(Q[0]!.length);
  for (const [k, q] of Q.entries()) {
    const w = weights[k]!;
    if (w !== 0) for (let n = 0; n < sum.length; n++) sum[n]! += w * q[n]!;
  }
  return sum;
}

/** ‖s·BA‖F without forming it. */
export function updateNorm(m: Factors): number {
  return Math.sqrt(reduced(m).core.reduce((sum, column) => sum + dotProduct(column, column), 0));
}

/** Two updates of one layer as one: w_a·dW_a + w_b·dW_b, with the ranks added up. */
export function sumUpdates(
  parts: readonly { readonly factors: Factors; readonly weight: number }[],
): Factors {
  const { in_features, out_features } = parts[0]!.factors;
  const r = parts.reduce((sum, { factors }) => sum + factors.r, 0);
  const [A, B] = [new Float32Array(r * in_features), new Float32Array(out_features * r)];
  let at = 0;
  for (const { factors, weight } of parts) {
    A.set(factors.A, at * in_features);
    for (let o = 0; o < out_features; o++)
      for (let k = 0; k < factors.r; k++)
        B[o * r + at + k] = weight * factors.scaling * factors.B[o * factors.r + k]!;
    at += factors.r;
  }
  return { A, B, r, in_features, out_features, scaling: 1 };
}
