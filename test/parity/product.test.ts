import { beforeAll, describe, expect, it } from 'vitest';
import type { FusedOps, ProductForm } from '../../src/models/ops/fusedOps';
import type { Precision, Tensor } from '../../src/models/ops/ops';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { createRandom } from '../../src/shared/random';
import { tfBinding } from '../support/models';

let ops: TensorFlowOps;
let fused: FusedOps;
beforeAll(async () => {
  ops = new TensorFlowOps(await tfBinding());
  fused = ops.fused!;
});

function numbers(count: number, seed: number): Float32Array {
  const random = createRandom(seed, 'product');
  return Float32Array.from({ length: count }, () => random() * 2 - 1);
}

/** A matrix as it is computed with, and as it is read. */
interface Matrix {
  readonly tensor: Tensor;
  readonly at: (row: number, column: number) => number;
}

interface MatrixForm {
  readonly dtype: Precision;
  /** Whether it is there as its transpose. */
  readonly isTransposed?: boolean;
  /** Whether products round it to bf16. */
  readonly isRounded?: boolean;
  readonly seed: number;
}

async function matrix(rows: number, columns: number, form: MatrixForm): Promise<Matrix> {
  const shape = form.isTransposed ? [columns, rows] : [rows, columns];
  const wide = ops.upload(numbers(rows * columns, form.seed), shape);
  const tensor = ops.cast(wide, form.dtype);
  const rounded = ops.cast(wide, form.isRounded ? 'bf16' : form.dtype);
  const data = await ops.download(rounded);
  ops.free(wide, rounded);
  const at = (row: number, column: number) =>
    data[form.isTransposed ? column * rows + row : row * columns + column]!;
  return { tensor, at };
}

interface Case {
  readonly a: Precision;
  readonly b: Precision;
  readonly form: Omit<ProductForm, 'low' | 'residual'>;
  readonly size: readonly [m: number, n: number, k: number];
  readonly rank?: number;
  readonly hasResidual?: boolean;
}

/** Compares a product with its sums in f64: each addition may round by half a unit. */
async function check({ a, b, form, size: [m, n, k], rank = 0, hasResidual }: Case): Promise<void> {
  const before = ops.live();
  const { transposeA = false, transposeB = false, exact = false, dtype } = form;
  const isRounded = b === 'bf16' && !exact;
  const A = await matrix(m, k, { dtype: a, isTransposed: transposeA, isRounded, seed: 1 });
  const B = await matrix(k, n, { dtype: b, isTransposed: transposeB, seed: 2 });
  const P = await matrix(m, rank, { dtype: 'f32', seed: 3 });
  const Q = await matrix(rank, n, { dtype: 'f32', isTransposed: transposeB, seed: 4 });
  const R = await matrix(m, n, { dtype: 'f32', seed: 5 });
  const low = rank > 0 ? { p: P.tensor, q: Q.tensor } : null;
  const residual = hasResidual ? R.tensor : null;
  const c = fused.product(A.tensor, B.tensor, { ...form, low, residual });
  expect(c.dtype).toBe(dtype);
  expect(c.shape).toEqual([m, n]);
  const have = await ops.download(c);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += A.at(i, l) * B.at(l, j);
      const own = isRounded ? 2 ** -8 * Math.abs(sum) : 0;
      if (hasResidual) sum += R.at(i, j);
      for (let l = 0; l < rank; l++) sum += P.at(i, l) * Q.at(l, j);
      const last = dtype === 'bf16' ? 2 ** -8 * Math.abs(sum) : 0;
      expect(Math.abs(have[i * n + j]! - sum), `${i}, ${j}`).toBeLessThanOrEqual(
        2 ** -24 * (k + rank + 1) + own + last,
      );
    }
  ops.free(A.tensor, B.tensor, P.tensor, Q.tensor, R.tensor, c);
  expect(ops.live()).toBe(before);
}

const PRECISIONS = ['f32', 'bf16'] as const;

describe.each(PRECISIONS)('a product by blocks with b in %s', (b) => {
  describe.each(PRECISIONS)('and a in %s', (a) => {
    it.each([
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ])('is that of the matrices, transposed: %s, %s', async (transposeA, transposeB) => {
      for (const dtype of PRECISIONS)
        await check({ a, b, form: { transposeA, transposeB, dtype }, size: [37, 83, 51] });
    });
  });

  it('adds a second product and a residual', async () => {
    for (const transposeB of [false, true])
      await check({
        ...{ a: 'bf16', b, form: { transposeB, dtype: 'f32' }, size: [21, 70, 64] },
        ...{ rank: 5, hasResidual: true },
      });
  });

  it('sums over more than a block, also with rows that compete for lines of a cache', async () => {
    for (const size of [
      [19, 110, 700] as const,
      [19, 110, 2048] as const,
      [19, 600, 2048] as const,
    ])
      for (const transposeB of [false, true])
        await check({ a: b, b, form: { transposeB, dtype: 'f32' }, size });
  });

  it('does not round a if it is exact', () =>
    check({ a: 'f32', b, form: { dtype: 'f32', exact: true }, size: [24, 40, 33] }));

  it('computes few rows and columns', async () => {
    for (const size of [[1, 1, 1] as const, [3, 5, 7] as const, [300, 8, 16] as const])
      await check({ a: 'f32', b, form: { dtype: 'f32' }, size });
  });

  it('is what is added where there is nothing to sum', async () => {
    for (const transposeB of [false, true])
      await check({
        ...{ a: 'f32', b, form: { transposeB, dtype: 'f32' }, size: [21, 70, 0] },
        ...{ rank: 5, hasResidual: true },
      });
    await check({ a: 'f32', b, form: { transposeA: true, dtype: 'bf16' }, size: [9, 33, 0] });
  });

  it('computes each row the same whatever the others are', async () => {
    const [n, k] = [100, 640];
    const B = await matrix(k, n, { dtype: b, seed: 2 });
    const all = await matrix(90, k, { dtype: b, seed: 1 });
    const some = ops.slice(all.tensor, [33, 0], [7, k]);
    const products = [all.tensor, some].map((x) =>
      fused.product(x, B.tensor, { dtype: 'f32', exact: b === 'f32' }),
    ) as [Tensor, Tensor];
    const [ofAll, ofSome] = [await ops.download(products[0]), await ops.download(products[1])];
    expect(ofSome).toEqual(ofAll.slice(33 * n, 40 * n));
    ops.free(B.tensor, all.tensor, some, ...products);
  });

  it('keeps what is no number', async () => {
    const wide = ops.upload(Float32Array.of(NaN, 1, 2, 3), [2, 2]);
    const [x, y] = [ops.cast(wide, b), ops.cast(ops.upload(numbers(4, 1), [2, 2]), b)];
    for (const dtype of PRECISIONS) {
      const c = fused.product(x, y, { dtype });
      expect(Array.from(await ops.download(c), Number.isNaN)).toEqual([true, true, false, false]);
      ops.free(c);
    }
    ops.free(wide, x, y);
  });
});

describe.each(PRECISIONS)('the gradients of a low-rank update of numbers in %s', (dtype) => {
  it.each([
    [1, 1, 1, 1],
    [21, 5, 70, 51],
    [90, 24, 33, 100],
    [600, 3, 48, 17],
  ])('are those of separate products: %i rows, rank %i', async (m, r, inner, outer) => {
    const before = ops.live();
    const own = [
      await matrix(m, outer, { dtype, seed: 1 }),
      await matrix(outer, r, { dtype: 'f32', seed: 2 }),
      await matrix(m, inner, { dtype, seed: 3 }),
      await matrix(m, r, { dtype: 'f32', seed: 4 }),
    ].map(({ tensor }) => tensor);
    const [dy, b, x, xa] = own as [Tensor, Tensor, Tensor, Tensor];
    const { dxa, gradients } = fused.lowGradients({ dy, b, x, xa });
    const form = { dtype: 'f32', exact: true } as const;
    const expected = [
      fused.product(dy, b, form),
      fused.product(dxa, x, { ...form, transposeA: true }),
      fused.product(xa, dy, { ...form, transposeA: true }),
    ];
    const [dxaOf, dA, dB] = await Promise.all(expected.map((t) => ops.download(t)));
    expect(dxa.shape).toEqual([m, r]);
    expect(await ops.download(dxa)).toEqual(dxaOf);
    expect(await ops.download(gradients)).toEqual(Float32Array.of(...dA!, ...dB!));
    ops.free(...own, ...expected, dxa, gradients);
    expect(ops.live()).toBe(before);
  });

  it('are 0 without rows', async () => {
    const [dy, x] = [
      ops.cast(ops.upload(numbers(0, 1), [0, 6]), dtype),
      ops.upload(numbers(0, 1), [0, 4]),
    ];
    const [b, xa] = [ops.upload(numbers(12, 1), [6, 2]), ops.upload(numbers(0, 1), [0, 2])];
    const { dxa, gradients } = fused.lowGradients({ dy, b, x, xa });
    expect(dxa.shape).toEqual([0, 2]);
    expect(await ops.download(gradients)).toEqual(new Float32Array(20));
    ops.free(dy, x, b, xa, dxa, gradients);
  });
});

it('refuses shapes that do not fit', () => {
  const [a, b] = [ops.upload(numbers(6, 1), [2, 3]), ops.upload(numbers(8, 2), [4, 2])];
  expect(() => fused.product(a, b, { dtype: 'f32' })).toThrow(/LoraProduct: shapes do not fit/);
  expect(() => fused.product(a, a, { dtype: 'f32', transposeB: true, residual: b })).toThrow(
    /LoraProduct: shapes do not fit/,
  );
  expect(() => fused.lowGradients({ dy: a, b, x: a, xa: a })).toThrow(
    /LoraLowGradients: shapes do not fit/,
  );
  ops.free(a, b);
});
