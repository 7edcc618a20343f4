import { dotProduct, norm } from './vectors';

/** M = U diag(S) Vᵀ. U and V hold one singular vector each per entry. */
export interface SmallSvd {
  readonly U: readonly Float64Array[];
  /** Descending. */
  readonly S: Float64Array;
  readonly V: readonly Float64Array[];
}

const MAX_SWEEPS = 60;
/** Cosine below which two columns count as orthogonal. */
const ORTHOGONAL = 1e-15;

/**
 * SVD of a small matrix given by its columns, which are overwritten, by one-sided Jacobi (Hestenes
 * 1958): plane rotations make the columns orthogonal, then their lengths are the singular values. A
 * left singular vector of the singular value 0 is zero.
 */
export function jacobiSvd(columns: readonly Float64Array[]): SmallSvd {
  const V = identity(columns.length);
  let rotated = true;
  for (let sweep = 0; rotated && sweep < MAX_SWEEPS; sweep++) rotated = rotateAllPairs(columns, V);
  const lengths = columns.map(norm);
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]!);
  return {
    S: Float64Array.from(order, (i) => lengths[i]!),
    U: order.map((i) => columns[i]!.map((x) => (lengths[i]! > 0 ? x / lengths[i]! : 0))),
    V: order.map((i) => V[i]!),
  };
}

function identity(size: number): Float64Array[] {
  return Array.from({ length: size }, (_, i) => {
    const row = new Float64Array(size);
    row[i] = 1;
    return row;
  });
}

/** One sweep. Returns whether any pair of columns was not orthogonal yet. */
function rotateAllPairs(columns: readonly Float64Array[], V: readonly Float64Array[]): boolean {
  let rotated = false;
  for (let p = 0; p < columns.length; p++) {
    for (let q = p + 1; q < columns.length; q++) {
      const rotation = rotationOf(columns[p]!, columns[q]!);
      if (!rotation) continue;
      rotated = true;
      rotate(columns[p]!, columns[q]!, rotation);
      rotate(V[p]!, V[q]!, rotation);
    }
  }
  return rotated;
}

interface Rotation {
  readonly cos: number;
  readonly sin: number;
}

/** The rotation that makes two columns orthogonal; null where they are already. */
function rotationOf(a: Float64Array, b: Float64Array): Rotation | null {
  const [aa, bb, ab] = [dotProduct(a, a), dotProduct(b, b), dotProduct(a, b)];
  if (Math.abs(ab) <= ORTHOGONAL * Math.sqrt(aa * bb) || ab === 0) return null;
  const zeta = (bb - aa) / (2 * ab);
  const tan = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cos = 1 / Math.sqrt(1 + tan * tan);
  return { cos, sin: cos * tan };
}

function rotate(x: Float64Array, y: Float64Array, { cos, sin }: Rotation): void {
  for (let i = 0; i < x.length; i++) {
    const [xi, yi] = [x[i]!, y[i]!];
    x[i] = cos * xi - sin * yi;
    y[i] = sin * xi + cos * yi;
  }
}
