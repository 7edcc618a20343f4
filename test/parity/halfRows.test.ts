/** Products of few rows with weights in bf16 for answers, which round the rows to bf16. */
import { beforeAll, expect, it } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Tensor } from '../../src/models/ops/tensor';
import type { Products } from '../../src/shared/products';
import { createRandom } from '../../src/shared/random';
import { tensorFlowOps } from '../support/models';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const ROWS = 18;

/** Three rows of the weight are multiplied at a time, and the last ones alone. */
const OUTPUTS = 37;

async function numbersOf(x: Tensor): Promise<Float32Array> {
  const numbers = Float32Array.from(await ops.download(x));
  ops.free(x);
  return numbers;
}

/** Random numbers and these rounded to bf16 as f32. */
async function halves(size: number, name: string) {
  const random = createRandom(3, name);
  const numbers = Float32Array.from({ length: size }, () => random() - 0.5);
  const given = ops.upload(numbers, [size]);
  const half = ops.cast(given, 'bf16');
  ops.free(given);
  const wide = ops.cast(half, 'f32');
  return { numbers, half, rounded: await numbersOf(wide) };
}

const part = (numbers: Float32Array, row: number, rows: number, width: number) =>
  numbers.slice(row * width, (row + rows) * width);

// a whole number of vectors, with a last word, and with half of one
it.each([[64], [98], [33], [7]])('has rows of %i numbers, each as alone', async (width) => {
  const fused = ops.fused!;
  const before = ops.live();
  const x = await halves(ROWS * width, 'x');
  const w = await halves(OUTPUTS * width, 'w');
  const weight = ops.reshape(w.half, [OUTPUTS, width]);
  const product = async (
    row: number,
    rows: number,
    products: Products,
    of: Float32Array = x.numbers,
  ) => {
    const input = ops.upload(part(of, row, rows, width), [rows, width]);
    const y = await numbersOf(fused.fewRows(input, weight, products));
    ops.free(input);
    return y;
  };
  const have = await product(0, ROWS, 'rounded');
  const exact = await product(0, ROWS, 'exact');
  const rounds = have.some((y, i) => Math.abs(y - exact[i]!) > 1e-5);
  expect(rounds || !fused.prefersProduct).toBe(true);
  const want = rounds ? await product(0, ROWS, 'exact', x.rounded) : exact;
  have.forEach((y, i) => expect(Math.abs(y - want[i]!), `number ${i}`).toBeLessThan(3e-6));
  for (const row of [0, ROWS - 1])
    expect(await product(row, 1, 'rounded')).toEqual(part(have, row, 1, OUTPUTS));
  for (const rows of [2, 3, 4, 5, 7, 8, 9, 12, 13, 17])
    expect(await product(0, rows, 'rounded'), `${rows} rows`).toEqual(part(have, 0, rows, OUTPUTS));
  ops.free(weight, x.half, w.half);
  expect(ops.live()).toBe(before);
});
