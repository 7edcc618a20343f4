import { multiply, multiplyTransposed, type DenseMatrix } from './denseMatrix';
import { jacobiSvd, type SmallSvd } from './jacobiSvd';
import { dotProduct, norm, subtract } from './vectors';

/** The first singular triplets of M [m, n]: M ≈ Σ S[i] · U[i] V[i]ᵀ. */
export interface Triplets {
  readonly U: Float64Array; // [count, m]
  readonly S: Float64Array; // [count], descending
  readonly V: Float64Array; // [count, n]
}

/** Residual of a triplet, as a share of the largest singular value, at which it has converged. */
const TOLERANCE = 1e-11;
/** The small SVD is taken after every so many steps. */
const CHECK_INTERVAL = 8;

/**
 * The first `count` singular triplets of a matrix, by Golub-Kahan-Lanczos bidiagonalization with
 * full reorthogonalization (Golub and Van Loan 2013, 10.4). It stops when the triplets no longer
 * change, at the latest when it has covered the whole space: exact to f64.
 *
 * @param random Uniform in [0, 1): the start vector is drawn from it.
 */
export function topTriplets(matrix: DenseMatrix, count: number, random: () => number): Triplets {
  const forward = (x: Float64Array) => multiply(matrix, x);
  const backward = (x: Float64Array) => multiplyTransposed(matrix, x);
  if (matrix.rows >= matrix.columns)
    return new Lanczos({ forward, backward, columns: matrix.columns }, random).run(count);
  const transposed = { forward: backward, backward: forward, columns: matrix.rows };
  const { U, S, V } = new Lanczos(transposed, random).run(count);
  return { U: V, S, V: U };
}

/** A matrix with at least as many rows as columns, known by its products. */
interface TallOperator {
  /** M x */
  readonly forward: (x: Float64Array) => Float64Array;
  /** Mᵀ x */
  readonly backward: (x: Float64Array) => Float64Array;
  readonly columns: number;
}

interface Direction {
  /** Of length 1. */
  readonly vector: Float64Array;
  /** What the vector's length was before; 0: nothing was left, and another direction was drawn. */
  readonly length: number;
}

/**
 * M V = U B with orthonormal U and V and B upper bidiagonal, one column per step. The SVD of B
 * gives the triplets of M.
 */
class Lanczos {
  private readonly left: Float64Array[] = []; // columns of U
  private readonly right: Float64Array[] = []; // columns of V
  private readonly diagonal: number[] = []; // of B
  private readonly superdiagonal: number[] = []; // of B

  constructor(
    private readonly operator: TallOperator,
    private readonly random: () => number,
  ) {}

  run(count: number): Triplets {
    const { columns } = this.operator;
    const leastSteps = Math.min(columns, 2 * count + 8);
    let v = this.orthonormalized(this.randomVector(columns), this.right).vector;
    for (;;) {
      const w = this.step(v);
      const steps = this.left.length;
      const isComplete = steps === columns;
      const next = isComplete ? { vector: w, length: 0 } : this.orthonormalized(w, this.right);
      if (isComplete || (steps >= leastSteps && steps % CHECK_INTERVAL === 0)) {
        const svd = jacobiSvd(this.bidiagonalColumns());
        if (isComplete || hasConverged(svd, next.length, count)) return this.triplets(svd, count);
      }
      this.superdiagonal.push(next.length);
      v = next.vector;
    }
  }

  /** Adds v to V and its image to U. Returns what of the image's image lies outside of v. */
  private step(v: Float64Array): Float64Array {
    this.right.push(v);
    const u = this.operator.forward(v);
    if (this.left.length > 0) subtract(u, this.left.at(-1)!, this.superdiagonal.at(-1)!);
    const { vector, length } = this.orthonormalized(u, this.left);
    this.left.push(vector);
    this.diagonal.push(length);
    const w = this.operator.backward(vector);
    subtract(w, v, length);
    return w;
  }

  private bidiagonalColumns(): Float64Array[] {
    return this.diagonal.map((value, j) => {
      const column = new Float64Array(this.diagonal.length);
      column[j] = value;
      if (j > 0) column[j - 1] = this.superdiagonal[j - 1]!;
      return column;
    });
  }

  private triplets({ U, S, V }: SmallSvd, count: number): Triplets {
    return {
      U: combine(this.left, U.slice(0, count)),
      S: S.slice(0, count),
      V: combine(this.right, V.slice(0, count)),
    };
  }

  /**
   * A vector made orthogonal to the basis, twice for accuracy, and of length 1. Where nothing is
   * left of it, a random direction takes its place.
   */
  private orthonormalized(x: Float64Array, basis: readonly Float64Array[]): Direction {
    const before = norm(x);
    for (let pass = 0; pass < 2; pass++) {
      for (const b of basis) subtract(x, b, dotProduct(x, b));
    }
    const length = norm(x);
    if (length > 1e-14 * before && length > 0)
      return { vector: x.map((value) => value / length), length };
    const { vector } = this.orthonormalized(this.randomVector(x.length), basis);
    return { vector, length: 0 };
  }

  private randomVector(length: number): Float64Array {
    return Float64Array.from({ length }, () => this.random() - 0.5);
  }
}

/** The residual of triplet i is beta · |last entry of its left singular vector of B|. */
function hasConverged({ U, S }: SmallSvd, beta: number, count: number): boolean {
  return U.slice(0, count).every((vector) => Math.abs(beta * vector.at(-1)!) <= TOLERANCE * S[0]!);
}

/** One row per weight vector: Σ weights[k] · basis[k]. */
function combine(basis: readonly Float64Array[], weights: readonly Float64Array[]): Float64Array {
  const width = basis[0]!.length;
  const rows = new Float64Array(weights.length * width);
  weights.forEach((own, i) => {
    basis.forEach((vector, k) => {
      vector.forEach((x, j) => (rows[i * width + j]! += own[k]! * x));
    });
  });
  return rows;
}
