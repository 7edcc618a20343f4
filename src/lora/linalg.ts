/**
 * The first r singular triplets of a matrix [m, n]: M ≈ U diag(S) Vᵀ, by Golub-Kahan-Lanczos
 * bidiagonalisation with full reorthogonalisation (Golub and Van Loan 2013, 10.4), which goes on
 * until the wanted triplets no longer change, at the latest when it has gone through the whole
 * space: exact to f64.
 */
export interface Triplets {
  readonly U: Float64Array; // [r, m], a row each
  readonly S: Float64Array; // [r], descending
  readonly V: Float64Array; // [r, n]
}

const TOLERANCE = 1e-11;

type Vector = Float64Array | Float32Array;

export function topTriplets(
  matrix: Float32Array,
  m: number,
  n: number,
  r: number,
  random: () => number,
): Triplets {
  if (m >= n)
    return tallTriplets(
      (x) => times(matrix, m, n, x),
      (x) => transposedTimes(matrix, m, n, x),
      n,
      r,
      random,
    );
  const { U, S, V } = tallTriplets(
    (x) => transposedTimes(matrix, m, n, x),
    (x) => times(matrix, m, n, x),
    m,
    r,
    random,
  );
  return { U: V, S, V: U };
}

type Product = (x: Float64Array) => Float64Array;

/** Of a matrix with at least as many rows as its n columns: after n steps nothing is left. */
function tallTriplets(
  forward: Product,
  back: Product,
  n: number,
  r: number,
  random: () => number,
): Triplets {
  const [left, right]: [Float64Array[], Float64Array[]] = [[], []];
  const [alpha, beta]: [number[], number[]] = [[], []];
  let v = unit(
    Float64Array.from({ length: n }, () => random() - 0.5),
    right,
    random,
  ).vector;
  for (;;) {
    right.push(v);
    const u = forward(v);
    if (left.length > 0) subtract(u, left.at(-1)!, beta.at(-1)!);
    const a = unit(u, left, random);
    left.push(a.vector);
    alpha.push(a.length);
    const w = back(a.vector);
    subtract(w, v, a.length);
    const done = left.length === n;
    const b = done ? { vector: w, length: 0 } : unit(w, right, random);
    const small =
      left.length >= Math.min(n, 2 * r + 8) && (done || left.length % 8 === 0)
        ? smallSvd(alpha, beta)
        : null;
    if (small && (done || converged(small, b.length, r))) return combine(small, left, right, r);
    beta.push(b.length);
    v = b.vector;
  }
}

/** The residual of triplet i is beta · |last entry of its left vector|. */
function converged({ U, S }: SmallSvd, beta: number, r: number): boolean {
  const k = S.length;
  return Array.from({ length: r }, (_, i) => Math.abs(beta * U[i]![k - 1]!)).every(
    (residual) => residual <= TOLERANCE * S[0]!,
  );
}

function combine(
  { U, S, V }: SmallSvd,
  left: readonly Float64Array[],
  right: readonly Float64Array[],
  r: number,
): Triplets {
  const mix = (basis: readonly Float64Array[], weights: readonly Float64Array[]) => {
    const width = basis[0]!.length;
    const out = new Float64Array(r * width);
    for (let i = 0; i < r; i++)
      basis.forEach((vector, k) =>
        vector.forEach((x, j) => (out[i * width + j]! += weights[i]![k]! * x)),
      );
    return out;
  };
  return { U: mix(left, U), S: S.slice(0, r), V: mix(right, V) };
}

export interface SmallSvd {
  readonly U: readonly Float64Array[];
  readonly S: Float64Array;
  readonly V: readonly Float64Array[];
}

/** SVD of the upper bidiagonal matrix. */
function smallSvd(alpha: readonly number[], beta: readonly number[]): SmallSvd {
  const k = alpha.length;
  const columns = alpha.map((a, j) => {
    const column = new Float64Array(k);
    column[j] = a;
    if (j > 0) column[j - 1] = beta[j - 1]!;
    return column;
  });
  return jacobiSvd(columns);
}

/**
 * SVD of a small matrix given by its columns, which are used up, by one-sided Jacobi (Hestenes
 * 1958): rotations make them orthogonal; their lengths are the singular values, descending. U and V
 * hold a vector each; where a singular value is 0, U's is 0 too.
 */
export function jacobiSvd(columns: readonly Float64Array[]): SmallSvd {
  const k = columns.length;
  const V = columns.map((_, j) => {
    const row = new Float64Array(k);
    row[j] = 1;
    return row;
  });
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let p = 0; p < k; p++)
      for (let q = p + 1; q < k; q++) turned = orthogonalise(columns, V, p, q) || turned;
  }
  const lengths = columns.map((c) => Math.sqrt(dotProduct(c, c)));
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]!);
  return {
    S: Float64Array.from(order, (i) => lengths[i]!),
    U: order.map((i) => columns[i]!.map((x) => (lengths[i]! > 0 ? x / lengths[i]! : 0))),
    V: order.map((i) => V[i]!),
  };
}

function orthogonalise(
  columns: readonly Float64Array[],
  V: readonly Float64Array[],
  p: number,
  q: number,
): boolean {
  const [a, b] = [columns[p]!, columns[q]!];
  const [aa, bb, ab] = [dotProduct(a, a), dotProduct(b, b), dotProduct(a, b)];
  if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb) || ab === 0) return false;
  const zeta = (bb - aa) / (2 * ab);
  const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const c = 1 / Math.sqrt(1 + t * t);
  for (const [x, y] of [
    [a, b],
    [V[p]!, V[q]!],
  ] as const) {
    for (let i = 0; i < x.length; i++) {
      const [xi, yi] = [x[i]!, y[i]!];
      x[i] = c * xi - c * t * yi;
      y[i] = c * t * xi + c * yi;
    }
  }
  return true;
}

/**
 * Made orthogonal to the basis, twice over for accuracy, and of length 1; where nothing is left,
 * some other direction with length 0.
 */
function unit(
  x: Float64Array,
  basis: readonly Float64Array[],
  random: () => number,
): { readonly vector: Float64Array; readonly length: number } {
  const before = Math.sqrt(dotProduct(x, x));
  for (let pass = 0; pass < 2; pass++) for (const b of basis) subtract(x, b, dotProduct(x, b));
  const length = Math.sqrt(dotProduct(x, x));
  if (length > 1e-14 * before && length > 0)
    return { vector: x.map((value) => value / length), length };
  return {
    vector: unit(
      Float64Array.from(x, () => random() - 0.5),
      basis,
      random,
    ).vector,
    length: 0,
  };
}

function subtract(x: Float64Array, y: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i]! -= factor * y[i]!;
}

function times(matrix: Float32Array, m: number, n: number, x: Float64Array): Float64Array {
  const y = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    let sum = 0;
    for (let j = 0, at = i * n; j < n; j++, at++) sum += matrix[at]! * x[j]!;
    y[i] = sum;
  }
  return y;
}

function transposedTimes(
  matrix: Float32Array,
  m: number,
  n: number,
  x: Float64Array,
): Float64Array {
  const y = new Float64Array(n);
  for (let i = 0; i < m; i++) {
    const factor = x[i]!;
    for (let j = 0, at = i * n; j < n; j++, at++) y[j]! += factor * matrix[at]!;
  }
  return y;
}

/**
 * The first r columns of Q and rows of R in M = QR, M [m, n], by Householder reflections with
 * LAPACK's signs.
 */
export function thinQr(
  matrix: Float32Array,
  m: number,
  n: number,
  r: number,
): { readonly Q: Float64Array; readonly R: Float64Array } {
  const a = Float64Array.from(matrix);
  const reflectors: Float64Array[] = [];
  for (let k = 0; k < Math.min(r, m); k++) {
    const v = new Float64Array(m);
    for (let i = k; i < m; i++) v[i] = a[i * n + k]!;
    const length = Math.sqrt(dotProduct(v, v));
    v[k]! += v[k]! >= 0 ? length : -length;
    const size = dotProduct(v, v);
    if (size > 0) reflect(a, v, size, m, n, k);
    reflectors.push(v);
  }
  const Q = new Float64Array(m * r);
  for (let k = 0; k < r; k++) Q[k * r + k] = 1;
  for (let k = reflectors.length - 1; k >= 0; k--) {
    const v = reflectors[k]!;
    const size = dotProduct(v, v);
    if (size > 0) reflect(Q, v, size, m, r, 0);
  }
  return { Q, R: a.slice(0, r * n) };
}

/** a - 2 v (vᵀ a) / (vᵀ v), columns from `start` on. a [m, width] */
function reflect(
  a: Float64Array,
  v: Float64Array,
  size: number,
  m: number,
  width: number,
  start: number,
): void {
  const along = new Float64Array(width);
  for (let i = 0; i < m; i++)
    if (v[i] !== 0) for (let j = start; j < width; j++) along[j]! += v[i]! * a[i * width + j]!;
  for (let i = 0; i < m; i++)
    if (v[i] !== 0)
      for (let j = start; j < width; j++) a[i * width + j]! -= (2 * v[i]! * along[j]!) / size;
}

/** Inner product, in four partial sums that the processor can add in parallel. */
export function dotProduct(x: Vector, y: Vector): number {
  const whole = x.length - (x.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    a += x[i]! * y[i]!;
    b += x[i + 1]! * y[i + 1]!;
    c += x[i + 2]! * y[i + 2]!;
    d += x[i + 3]! * y[i + 3]!;
  }
  for (let i = whole; i < x.length; i++) a += x[i]! * y[i]!;
  return a + b + (c + d);
}
