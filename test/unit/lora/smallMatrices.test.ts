import { describe, expect, it } from 'vitest';
import { multiply, multiplyTransposed } from '../../../src/lora/linalg/denseMatrix';
import { gramSchmidtQr } from '../../../src/lora/linalg/gramSchmidt';
import { jacobiSvd } from '../../../src/lora/linalg/jacobiSvd';
import { topTriplets } from '../../../src/lora/linalg/lanczos';
import { thinQr } from '../../../src/lora/linalg/thinQr';
import { dotProduct, linearCombination, norm, subtract } from '../../../src/lora/linalg/vectors';
import { initialMagnitude } from '../../../src/lora/dora';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';
import { convertToPlain, startFromWeight } from '../../../src/lora/startFromWeight';
import { sumUpdates, updateNorm } from '../../../src/lora/updateSvd';
import type { Adapter, AdapterConfig, LoraFactors } from '../../../src/lora/adapter';
import { createRandom } from '../../../src/shared/random';

const vector = (...values: number[]) => Float64Array.from(values);
const closeTo = (have: ArrayLike<number>, want: readonly number[], digits = 12) => {
  expect(have.length).toBe(want.length);
  want.forEach((value, i) => expect(have[i]).toBeCloseTo(value, digits));
};

describe('vector operations', () => {
  it('compute the inner product for any length', () => {
    for (const length of [0, 1, 3, 4, 5, 7, 8, 11]) {
      const x = Float64Array.from({ length }, (_, i) => i + 1);
      const y = Float64Array.from({ length }, (_, i) => 10 ** i);
      expect(dotProduct(x, y)).toBe(x.reduce((sum, value, i) => sum + value * 10 ** i, 0));
    }
    expect(norm(vector(3, 4))).toBe(5);
  });

  it('subtract and combine vectors', () => {
    const x = vector(1, 2);
    subtract(x, vector(3, 5), 2);
    expect([...x]).toEqual([-5, -8]);
    expect([
      ...linearCombination([vector(1, 2), vector(Infinity, 1), vector(0, 3)], vector(2, 0, 1)),
    ]).toEqual([2, 7]);
  });

  it('multiply by a matrix or its transpose', () => {
    const matrix = { data: Float32Array.of(1, 2, 3, 4, 5, 6), rows: 2, columns: 3 };
    expect([...multiply(matrix, vector(1, 10, 100))]).toEqual([321, 654]);
    expect([...multiplyTransposed(matrix, vector(1, 10))]).toEqual([41, 52, 63]);
  });
});

describe('QR by Gram-Schmidt', () => {
  it('makes columns orthonormal, R upper triangular', () => {
    const { Q, R } = gramSchmidtQr([vector(3, 4), vector(1, 2)]);
    closeTo(Q[0]!, [0.6, 0.8]);
    closeTo(Q[1]!, [-0.8, 0.6]);
    closeTo(R[0]!, [5, 2.2]);
    closeTo(R[1]!, [0, 0.4]);
  });

  it('orthogonalizes again after cancellation', () => {
    const tiny = 1e-9;
    const { Q, R } = gramSchmidtQr([vector(1, tiny, 0), vector(1, 0, tiny), vector(1, tiny, tiny)]);
    for (const [i, p] of Q.entries())
      for (const q of Q.slice(0, i)) expect(Math.abs(dotProduct(p, q))).toBeLessThan(1e-14);
    expect(R[0]![1]).toBeCloseTo(1, 12);
  });

  it('gives zeros for linearly dependent columns', () => {
    const { Q, R } = gramSchmidtQr([vector(1, 1), vector(2, 2), vector(0, 0), vector(0, 3)]);
    expect([...Q[1]!, ...Q[2]!]).toEqual([0, 0, 0, 0]);
    expect([R[1]![1], R[2]![2]]).toEqual([0, 0]);
    closeTo(Q[3]!, [-Math.SQRT1_2, Math.SQRT1_2]);
    const close = gramSchmidtQr([vector(1, 0), vector(1, 1e-11)]);
    closeTo(close.Q[1]!, [0, 1]);
  });
});

describe('the Jacobi SVD', () => {
  it('gives descending singular values with their vectors', () => {
    const { U, S, V } = jacobiSvd([vector(3, 4), vector(0, 5)]); // M = [[3, 0], [4, 5]]
    closeTo(S, [Math.sqrt(45), Math.sqrt(5)]);
    for (const k of [0, 1]) {
      const [v0, v1] = V[k]!;
      closeTo([3 * v0!, 4 * v0! + 5 * v1!], [S[k]! * U[k]![0]!, S[k]! * U[k]![1]!]);
      expect(norm(U[k]!)).toBeCloseTo(1, 12);
      expect(norm(V[k]!)).toBeCloseTo(1, 12);
    }
    closeTo([dotProduct(V[0]!, V[1]!), dotProduct(U[0]!, U[1]!)], [0, 0]);
  });

  it('keeps orthogonal columns and sorts them', () => {
    const { U, S, V } = jacobiSvd([vector(0, 2, 0), vector(0, 0, 0), vector(-3, 0, 0)]);
    expect([...S]).toEqual([3, 2, 0]);
    expect(U.map((u) => [...u])).toEqual([
      [-1, 0, 0],
      [0, 1, 0],
      [0, 0, 0],
    ]);
    expect(V.map((v) => [...v])).toEqual([
      [0, 0, 1],
      [1, 0, 0],
      [0, 1, 0],
    ]);
  });

  it('separates columns of equal length and nearly parallel columns', () => {
    closeTo(jacobiSvd([vector(1, 0), vector(0.6, 0.8)]).S, [Math.sqrt(1.6), Math.sqrt(0.4)]);
    closeTo(jacobiSvd([vector(1, 1), vector(-1, -1)]).S, [2, 0]);
    const { S } = jacobiSvd([vector(1, 1e-6), vector(1, -1e-6)]);
    expect(S[1]! / (Math.SQRT2 * 1e-6)).toBeCloseTo(1, 6);
  });

  it('is exact for small singular values beside large ones', () => {
    const random = createRandom(1, 'matrix');
    const columns = Array.from({ length: 6 }, () =>
      Float64Array.from({ length: 9 }, () => random() - 0.5),
    );
    const before = columns.map((column) => [...column]);
    const { U, S, V } = jacobiSvd(columns);
    for (const [j, column] of before.entries())
      closeTo(
        column.map((_, i) => S.reduce((sum, s, k) => sum + s * U[k]![i]! * V[k]![j]!, 0)),
        column,
      );
    for (const [i, u] of U.entries())
      for (const other of U.slice(0, i)) expect(Math.abs(dotProduct(u, other))).toBeLessThan(1e-14);
  });
});

describe('the first singular triplets', () => {
  const random = () => createRandom(7, 'start');
  const diagonal = (values: readonly number[], rows: number, columns: number) => ({
    data: Float32Array.from({ length: rows * columns }, (_, at) =>
      Math.floor(at / columns) === at % columns ? (values[at % columns] ?? 0) : 0,
    ),
    rows,
    columns,
  });

  it.each([
    [30, 24],
    [24, 30],
  ])('are the largest values of a diagonal matrix [%i, %i]', (rows, columns) => {
    const values = Array.from({ length: 24 }, (_, i) => 24 - i);
    const { U, S, V } = topTriplets(diagonal(values, rows, columns), 2, random());
    expect([U.length, S.length, V.length]).toEqual([2 * rows, 2, 2 * columns]);
    closeTo(S, [24, 23], 9);
    for (const k of [0, 1]) {
      expect(Math.abs(U[k * rows + k]!)).toBeCloseTo(1, 9);
      expect(U[k * rows + k]! * V[k * columns + k]!).toBeCloseTo(1, 9);
    }
  });

  it('are found for repeated and zero singular values', () => {
    const { S, V } = topTriplets(diagonal([3, 3, 3, 1, 0, 0], 6, 6), 5, random());
    closeTo(S, [3, 3, 3, 1, 0], 9);
    for (let i = 0; i < 5; i++)
      for (let j = 0; j < 5; j++)
        expect(dotProduct(V.subarray(6 * i, 6 * i + 6), V.subarray(6 * j, 6 * j + 6))).toBeCloseTo(
          Number(i === j),
          9,
        );
  });

  it('are exact for clustered singular values', () => {
    const values = Array.from({ length: 60 }, (_, i) => 1 - i / 1000);
    closeTo(topTriplets(diagonal(values, 60, 60), 3, random()).S, [1, 0.999, 0.998], 7);
  });

  it('converge early if few singular values matter', () => {
    const values = Array.from({ length: 400 }, (_, i) => (i < 3 ? 100 * (3 - i) : 1e-3));
    let products = 0;
    const matrix = diagonal(values, 400, 400);
    const counted = {
      ...matrix,
      get data() {
        products++;
        return matrix.data;
      },
    };
    closeTo(topTriplets(counted, 3, random()).S, [300, 200, 100], 4);
    expect(products).toBeLessThan(2 * 50);
  });
});

describe('Householder QR', () => {
  const root = Math.sqrt(1.16);

  it("follows LAPACK's sign convention: R has a negative diagonal for positive columns", () => {
    const { Q, R } = thinQr({ data: Float32Array.of(3, 1, 4, 2, 0, 1), rows: 3, columns: 2 }, 2);
    closeTo(Q, [-0.6, 0.32 / root, -0.8, -0.24 / root, 0, -1 / root]);
    closeTo(R, [-5, -2.2, 0, -root]);
    const negative = thinQr({ data: Float32Array.of(-3, 1, 4, 2), rows: 2, columns: 2 }, 1);
    closeTo(negative.Q, [-0.6, 0.8]);
    closeTo(negative.R, [5, 1]);
  });

  it('gives zeros in R for a zero matrix', () => {
    const { Q, R } = thinQr({ data: new Float32Array(6), rows: 3, columns: 2 }, 2);
    closeTo(R, [0, 0, 0, 0]);
    closeTo(Q, [1, 0, 0, 1, 0, 0]);
  });

  it('reflects no column that is zero below the diagonal, such as the last row of a matrix', () => {
    const qr = (rows: number[][]) =>
      thinQr(
        { data: Float32Array.from(rows.flat()), rows: rows.length, columns: rows[0]!.length },
        Math.min(rows.length, rows[0]!.length),
      );
    // results of torch.linalg.qr
    const wide = qr([[2, 4, 6]]);
    closeTo(wide.Q, [1]);
    closeTo(wide.R, [2, 4, 6]);
    const negative = qr([[-2, 4, 6]]);
    closeTo(negative.Q, [1]);
    closeTo(negative.R, [-2, 4, 6]);
    const square = qr([
      [3, 1],
      [4, 2],
    ]);
    closeTo(square.Q, [-0.6, -0.8, -0.8, 0.6]);
    closeTo(square.R, [-5, -2.2, 0, 0.4]);
    const triangular = qr([
      [1, 1],
      [0, -1],
    ]);
    closeTo(triangular.Q, [1, 0, 0, 1]);
    closeTo(triangular.R, [1, 1, 0, -1]);
    const tall = qr([
      [-5, 0],
      [0, -3],
      [0, 0],
    ]);
    closeTo(tall.Q, [1, 0, 0, 1, 0, 0]);
    closeTo(tall.R, [-5, 0, 0, -3]);
  });
});

const factors = (change: Partial<LoraFactors>): LoraFactors => ({
  path: 'a',
  kind: 'linear',
  r: 2,
  in_features: 2,
  out_features: 2,
  scaling: 4,
  magnitude: null,
  A: new Float32Array(4),
  B: new Float32Array(4),
  ...change,
});

describe('initialization from the weight', () => {
  it('is Q and R for OLoRA', () => {
    const tall = factors({ out_features: 3 });
    const { A, B } = startFromWeight('olora', Float32Array.of(3, 1, 4, 2, 0, 1), tall);
    const root = Math.sqrt(1.16);
    closeTo(A, [-5, -2.2, 0, -root], 6);
    closeTo(B, [-0.6, 0.32 / root, -0.8, -0.24 / root, 0, -1 / root], 6);
  });

  it('is zero beyond the smaller dimension of the weight', () => {
    const wide = factors({ r: 3, in_features: 2, out_features: 1 });
    const olora = startFromWeight('olora', Float32Array.of(3, 4), wide);
    closeTo(
      olora.A.map((x) => x * olora.B[0]!),
      [3, 4, 0, 0, 0, 0],
      6,
    );
    closeTo(olora.B.slice(1), [0, 0]);
    const { A, B } = startFromWeight('pissa', Float32Array.of(3, 4), wide);
    expect([A.length, B.length]).toEqual([6, 3]);
    closeTo([B[0]! * A[0]! * 4, B[0]! * A[1]! * 4], [3, 4], 5);
    expect(B[0]! ** 2).toBeCloseTo(5 / 4, 6);
    expect([...A.slice(2), ...B.slice(1)]).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe('converting a trained initialization', () => {
  const adapter = (modules: LoraFactors[], change: Partial<AdapterConfig> = {}): Adapter => ({
    config: { ...PLAIN_LORA, base_model_name_or_path: null, raw: {}, ...change },
    modules,
    trained: [],
  });
  const trained = factors({ A: Float32Array.of(1, 2, 3, 4), B: Float32Array.of(5, 6, 7, 8) });
  const start = factors({ A: Float32Array.of(10, 20, 30, 40), B: Float32Array.of(50, 60, 70, 80) });

  it('concatenates both factors and leaves other layers unchanged', () => {
    const other = factors({ path: 'b', A: Float32Array.of(1, 1, 1, 1) });
    const { modules } = convertToPlain(adapter([trained, other]), adapter([start]));
    expect(modules[0]).toMatchObject({ r: 4, scaling: 4, path: 'a' });
    expect([...modules[0]!.A]).toEqual([1, 2, 3, 4, 10, 20, 30, 40]);
    expect([...modules[0]!.B]).toEqual([5, 6, 50, 60, 7, 8, 70, 80]);
    expect(modules[1]).toBe(other);
  });

  it('doubles ranks and alphas, and scales rsLoRA alphas by √2', () => {
    const settings = { r: 2, lora_alpha: 8, rank_pattern: { q: 3 }, alpha_pattern: { v: 5 } };
    expect(convertToPlain(adapter([], settings), adapter([])).config).toMatchObject({
      r: 4,
      lora_alpha: 16,
      rank_pattern: { q: 6 },
      alpha_pattern: { v: 10 },
    });
    expect(
      convertToPlain(adapter([], { ...settings, use_rslora: true }), adapter([])).config,
    ).toMatchObject({
      r: 4,
      lora_alpha: 8 * Math.SQRT2,
      rank_pattern: { q: 6 },
      alpha_pattern: { v: 5 * Math.SQRT2 },
    });
  });
});

it('sums updates of different ranks by concatenation', () => {
  const one = factors({ r: 1, A: Float32Array.of(1, 2), B: Float32Array.of(3, 4), scaling: 2 });
  const two = factors({
    A: Float32Array.of(1, 0, 0, 1),
    B: Float32Array.of(1, 2, 3, 4),
    scaling: 1,
  });
  const sum = sumUpdates([
    { factors: one, weight: 3 },
    { factors: two, weight: -1 },
  ]);
  expect(sum).toMatchObject({ r: 3, scaling: 1, in_features: 2, out_features: 2 });
  expect([...sum.A]).toEqual([1, 2, 1, 0, 0, 1]);
  expect([...sum.B]).toEqual([18, -1, -2, 24, -3, -4]);
  expect(updateNorm(one)).toBeCloseTo(2 * 5 * Math.sqrt(5), 12);
});

it('DoRA magnitudes include the update if both factors are non-zero', () => {
  const W = Float32Array.of(3, 4, 0, 1);
  const update = { A: Float32Array.of(1, 0, 0, 1), B: Float32Array.of(1, 0, 0, 1), scaling: 2 };
  closeTo(initialMagnitude(W, factors(update)), [Math.sqrt(41), 3], 6);
  for (const zero of [{ A: new Float32Array(4) }, { B: new Float32Array(4) }])
    closeTo(initialMagnitude(W, factors({ ...update, ...zero })), [5, 1], 6);
});
