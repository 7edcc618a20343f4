import { jacobiSvd, thinQr } from './linalg';
import type { LoraFactors } from './types';

type Factors = Pick<LoraFactors, 'A' | 'B' | 'r' | 'in_features' | 'out_features' | 'scaling'>;

/** dW = s·BA by its singular values, from the factors alone: QR of B and Aᵀ, then the SVD of an r x r matrix. No array is larger than a factor. */
export interface FactoredUpdate {
  /** Descending; as many as the smaller of r and the layer's sides. */
  readonly S: Float64Array;
  /** Left singular vectors [k, out] and right ones [k, in], a vector each. */
  readonly left: readonly Float64Array[];
  readonly right: readonly Float64Array[];
}

export function factored(m: Factors): FactoredUpdate {
  const { out_features, in_features } = m;
  const { qB, qA, core, p, q } = reduced(m);
  const { U, S, V } = jacobiSvd(core);
  const k = Math.min(p, q);
  return {
    S: S.slice(0, k),
    left: Array.from({ length: k }, (_, i) => combined(qB, out_features, p, U[i]!)),
    right: Array.from({ length: k }, (_, i) => combined(qA, in_features, q, V[i]!)),
  };
}

/** Columns of s·R_B·R_Aᵀ [p, q], where B = Q_B R_B and Aᵀ = Q_A R_A. */
function reduced({ A, B, r, in_features, out_features, scaling }: Factors) {
  const [p, q] = [Math.min(r, out_features), Math.min(r, in_features)];
  const b = thinQr(B, out_features, r, p);
  const a = thinQr(transposed(A, r, in_features), in_features, r, q);
  const core = Array.from({ length: q }, (_, j) => Float64Array.from({ length: p }, (__, i) => {
    let sum = 0;
    for (let k = 0; k < r; k++) sum += b.R[i * r + k]! * a.R[j * r + k]!;
    return scaling * sum;
  }));
  return { qB: b.Q, qA: a.Q, core, p, q };
}

function combined(Q: Float64Array, rows: number, width: number, weights: Float64Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += Q[i * width + k]! * weights[k]!;
    return sum;
  });
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j]!;
  return result;
}

/** ‖s·BA‖F without forming it. */
export function updateNorm(m: Factors): number {
  return Math.sqrt(reduced(m).core.reduce((sum, column) => sum + column.reduce((s, x) => s + x * x, 0), 0));
}

/** Two updates of one layer as one: w_a·dW_a + w_b·dW_b, with the ranks added up. */
export function summed(parts: readonly { readonly factors: Factors; readonly weight: number }[]): Factors {
  const { in_features, out_features } = parts[0]!.factors;
  const r = parts.reduce((sum, { factors }) => sum + factors.r, 0);
  const [A, B] = [new Float32Array(r * in_features), new Float32Array(out_features * r)];
  let at = 0;
  for (const { factors, weight } of parts) {
    A.set(factors.A, at * in_features);
    for (let o = 0; o < out_features; o++) for (let k = 0; k < factors.r; k++) B[o * r + at + k] = weight * factors.scaling * factors.B[o * factors.r + k]!;
    at += factors.r;
  }
  return { A, B, r, in_features, out_features, scaling: 1 };
}

/** ⟨dW_a, dW_b⟩ = s_a·s_b·Σ (B_aᵀB_b) ∘ (A_a A_bᵀ). */
export function innerProduct(a: Factors, b: Factors): number {
  let sum = 0;
  for (let i = 0; i < a.r; i++) {
    for (let j = 0; j < b.r; j++) {
      let [left, right] = [0, 0];
      for (let o = 0; o < a.out_features; o++) left += a.B[o * a.r + i]! * b.B[o * b.r + j]!;
      for (let k = 0; k < a.in_features; k++) right += a.A[i * a.in_features + k]! * b.A[j * b.in_features + k]!;
      sum += left * right;
    }
  }
  return a.scaling * b.scaling * sum;
}
