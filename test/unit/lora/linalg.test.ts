import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialMagnitude } from '../../../src/lora/dora';
import { topTriplets } from '../../../src/lora/linalg/lanczos';
import { thinQr } from '../../../src/lora/linalg/thinQr';
import { convertToPlain, startFromWeight } from '../../../src/lora/startFromWeight';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';
import { createRandom } from '../../../src/shared/random';

const matrix = (m: number, n: number, seed: number) => {
  const random = createRandom(seed, 'matrix');
  return Float32Array.from({ length: m * n }, () => random() - 0.5);
};
const sizes = fc.record({
  m: fc.integer({ min: 1, max: 24 }),
  n: fc.integer({ min: 1, max: 24 }),
  seed: fc.integer({ min: 0, max: 1e6 }),
});
const random = () => createRandom(1, 'start');

/** Σ S·u vᵀ */
function rebuilt({ U, S, V }: ReturnType<typeof topTriplets>, m: number, n: number): Float64Array {
  return Float64Array.from({ length: m * n }, (_, at) =>
    S.reduce((sum, s, k) => sum + s * U[k * m + Math.floor(at / n)]! * V[k * n + (at % n)]!, 0),
  );
}
const gap = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe('svd', () => {
  it('reconstructs the matrix from all triplets, with orthonormal vectors and descending values', () => {
    fc.assert(
      fc.property(sizes, ({ m, n, seed }) => {
        const M = matrix(m, n, seed);
        const r = Math.min(m, n);
        const found = topTriplets({ data: M, rows: m, columns: n }, r, random());
        expect(gap(rebuilt(found, m, n), M)).toBeLessThan(1e-10);
        expect([...found.S]).toEqual([...found.S].sort((a, b) => b - a));
        for (let i = 0; i < r; i++) {
          for (let j = 0; j < r; j++) {
            const dot = found.V.subarray(i * n, (i + 1) * n).reduce(
              (sum, x, k) => sum + x * found.V[j * n + k]!,
              0,
            );
            expect(Math.abs(dot - (i === j ? 1 : 0))).toBeLessThan(1e-9);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('gives the best approximation of a given rank', () => {
    const [m, n, r] = [60, 90, 4];
    const M = matrix(m, n, 3);
    const all = topTriplets({ data: M, rows: m, columns: n }, m, random());
    const some = topTriplets({ data: M, rows: m, columns: n }, r, random());
    expect(gap(some.S, all.S.slice(0, r))).toBeLessThan(1e-9);
    const rest = rebuilt(some, m, n).map((x, i) => M[i]! - x);
    const squares = all.S.slice(r).reduce((sum, s) => sum + s * s, 0);
    expect(Math.abs(rest.reduce((sum, x) => sum + x * x, 0) - squares)).toBeLessThan(
      1e-8 * squares,
    );
  });

  it('handles rank-deficient and zero matrices', () => {
    const one = Float32Array.from(
      { length: 8 * 6 },
      (_, i) => (Math.floor(i / 6) + 1) * ((i % 6) + 1),
    );
    expect(
      gap(rebuilt(topTriplets({ data: one, rows: 8, columns: 6 }, 3, random()), 8, 6), one),
    ).toBeLessThan(1e-10);
    expect([
      ...topTriplets({ data: new Float32Array(12), rows: 3, columns: 4 }, 2, random()).S,
    ]).toEqual([0, 0]);
  });
});

it('QR reconstructs the matrix with an orthonormal Q', () => {
  fc.assert(
    fc.property(sizes, ({ m, n, seed }) => {
      const M = matrix(m, n, seed);
      const r = Math.min(m, n);
      const { Q, R } = thinQr({ data: M, rows: m, columns: n }, r);
      const product = Float64Array.from({ length: m * n }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < r; k++) sum += Q[Math.floor(at / n) * r + k]! * R[k * n + (at % n)]!;
        return sum;
      });
      expect(gap(product, M)).toBeLessThan(1e-10);
    }),
    { numRuns: 60 },
  );
});

describe('initialization from the weight', () => {
  const shape = {
    path: 'a',
    kind: 'linear',
    r: 3,
    in_features: 7,
    out_features: 5,
    scaling: 2,
    magnitude: null,
  } as const;
  const W = matrix(5, 7, 9);
  const product = ({ A, B, r, in_features, out_features, scaling }: LoraFactors) =>
    Float64Array.from({ length: out_features * in_features }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < r; k++)
        sum +=
          scaling *
          B[Math.floor(at / in_features) * r + k]! *
          A[k * in_features + (at % in_features)]!;
      return sum;
    });

  it('PiSSA makes s·BA the best approximation of rank r', () => {
    const start = startFromWeight('pissa', W, {
      ...shape,
      A: new Float32Array(21),
      B: new Float32Array(15),
    });
    expect(
      gap(
        product({ ...shape, ...start }),
        rebuilt(topTriplets({ data: W, rows: 5, columns: 7 }, 3, random()), 5, 7),
      ),
    ).toBeLessThan(1e-5);
  });

  it('is subtracted on conversion: zero before training, the update afterwards', () => {
    const start = {
      ...shape,
      ...startFromWeight('olora', W, {
        ...shape,
        A: new Float32Array(21),
        B: new Float32Array(15),
      }),
    };
    const adapter = (module: LoraFactors): Adapter => ({
      config: { ...PLAIN_LORA, r: 3, lora_alpha: 6, base_model_name_or_path: null, raw: {} },
      modules: [module],
      trained: [],
    });
    const below = adapter({ ...start, B: start.B.map((b) => -b) });
    const [same] = convertToPlain(adapter(start), below).modules;
    expect(gap(product(same!), new Float64Array(35))).toBeLessThan(1e-6);
    const moved = { ...start, A: start.A.map((a) => a + 0.25) };
    const converted = convertToPlain(adapter(moved), below);
    expect(converted.config).toMatchObject({ r: 6, lora_alpha: 12 });
    const [a, b] = [product(moved), product(start)];
    expect(
      gap(
        product(converted.modules[0]!),
        a.map((x, i) => x - b[i]!),
      ),
    ).toBeLessThan(1e-5);
  });

  it('DoRA magnitudes are the row norms of W + dW, or the column norms for an embedding', () => {
    const factors: LoraFactors = { ...shape, A: matrix(3, 7, 1), B: matrix(5, 3, 2) };
    const dW = product(factors);
    const lengths = Float64Array.from({ length: 5 }, (_, o) =>
      Math.sqrt(
        W.subarray(o * 7, o * 7 + 7).reduce((sum, w, i) => sum + (w + dW[o * 7 + i]!) ** 2, 0),
      ),
    );
    expect(gap(initialMagnitude(W, factors), lengths)).toBeLessThan(1e-6);
    const table = Float32Array.from(
      { length: 35 },
      (_, at) => W[(at % 5) * 7 + Math.floor(at / 5)]!,
    ); // [7, 5], the transpose
    expect(gap(initialMagnitude(table, { ...factors, kind: 'embedding' }), lengths)).toBeLessThan(
      1e-6,
    );
  });
});
