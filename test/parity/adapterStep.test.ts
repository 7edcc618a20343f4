import { beforeAll, describe, expect, it } from 'vitest';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { FlatMoments } from '../../src/models/ops/fusedOps';
import type { Ops, Tensor } from '../../src/models/ops/ops';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { adamWStep } from '../../src/models/training/adamw';
import { stepAdapter, wordsOf, type AdapterStep } from '../../src/models/training/adapterStep';
import { createRandom } from '../../src/shared/random';
import { tfBinding } from '../support/models';
import { smallAdapter, smallBase, smallInput } from '../support/smallModel';

let ops: TensorFlowOps;
let live: number;
beforeAll(async () => {
  ops = new TensorFlowOps(await tfBinding());
  live = ops.live();
});

it("a step of the kernel is part of this build's binding", () => {
  expect(ops.fused?.adapterStep).toBeInstanceOf(Function);
});

/** Random numbers, some of which are zeros or so small that their squares are subnormal. */
function numbers(count: number, seed: number): Float32Array {
  const random = createRandom(seed, 'step');
  const scales = [1, 1e-3, 0, 1e-20, 2 ** -130];
  const data = ops.allocateHostF32(count);
  for (let i = 0; i < count; i++)
    data[i] = (2 * random() - 1) * scales[Math.floor(random() * scales.length)]!;
  return data;
}

const vectorsOf = (count: number): FlatMoments => ({
  theta: numbers(count, 1),
  gradients: numbers(count, 2),
  exp_avg: numbers(count, 3),
  exp_avg_sq: numbers(count, 4).map(Math.abs),
});

/** In memory that the kernel can change. */
function held(data: Float32Array): Float32Array {
  const own = ops.allocateHostF32(data.length);
  own.set(data);
  return own;
}

const KEYS = ['theta', 'gradients', 'exp_avg', 'exp_avg_sq'] as const;

/** Takes the same step with the kernel and without. */
function bothWays(vectors: FlatMoments, step: AdapterStep) {
  const each = (copy: (data: Float32Array) => Float32Array): FlatMoments => ({
    theta: copy(vectors.theta),
    gradients: copy(vectors.gradients),
    exp_avg: copy(vectors.exp_avg),
    exp_avg_sq: copy(vectors.exp_avg_sq),
  });
  const [want, have] = [each((data) => data.slice()), each(held)];
  const wanted = stepAdapter(want, step);
  const norm = ops.fused!.adapterStep!(have, wordsOf(step));
  expect(ops.live()).toBe(live);
  return { want, have, wanted, norm };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

function expectSame(vectors: FlatMoments, step: AdapterStep): void {
  const { want, have, wanted, norm } = bothWays(vectors, step);
  expect(norm).toBe(wanted);
  for (const key of KEYS) expect(bytesOf(have[key]).equals(bytesOf(want[key])), key).toBe(true);
}

const coefficients = (t: number, learning_rate: number) =>
  adamWStep(t, { learning_rate, weight_decay: 0.1 });

describe('a step of an adapter by the kernel has the bytes of JavaScript', () => {
  it.each([1, 7, 8, 15, 4095, 4096, 4097, 300_001])('of %i numbers', (count) => {
    for (const max_grad_norm of [0, 1, 1e9]) {
      const whole = { ...coefficients(3, 0.02), start: 0, end: count };
      expectSame(vectorsOf(count), { divisor: 37, max_grad_norm, ranges: [whole] });
    }
  });

  it('in ranges with rates of their own, and others without gradients', () => {
    const count = 100_003;
    const ranges = [];
    for (let start = 5; start + 700 < count; start += 1001)
      ranges.push({
        ...coefficients(1 + (start % 9), 1e-3 * (1 + (start % 2))),
        start,
        end: start + 700,
      });
    const step = { divisor: 1.5, max_grad_norm: 0.5, ranges };
    const vectors = vectorsOf(count);
    expectSame(vectors, step);
    const { have } = bothWays(vectors, step);
    const isOutside = (i: number) => i < 5 || (i - 5) % 1001 >= 700;
    expect(have.theta.every((x, i) => !isOutside(i) || x === vectors.theta[i])).toBe(true);
    expect(have.theta.some((x, i) => x !== vectors.theta[i])).toBe(true);
    expect(have.gradients.every((g) => g === 0)).toBe(true);
  });

  it.each([NaN, Infinity])('also with a gradient of %d', (value) => {
    const vectors = vectorsOf(50);
    vectors.gradients[20] = value;
    const whole = { ...coefficients(1, 0.1), start: 0, end: 50 };
    const { want, have, norm, wanted } = bothWays(vectors, {
      ...{ divisor: 2, max_grad_norm: 1, ranges: [whole] },
    });
    expect(norm).toBe(wanted);
    expect(have.theta).toEqual(want.theta);
  });
});

it('refuses vectors and ranges that do not fit', () => {
  const step = ops.fused!.adapterStep!;
  const vectors = vectorsOf(8);
  const ranges = (...bounds: readonly (readonly [number, number])[]) =>
    wordsOf({
      ...{ divisor: 1, max_grad_norm: 0 },
      ranges: bounds.map(([start, end]) => ({ ...coefficients(1, 0.1), start, end })),
    });
  expect(() => step({ ...vectors, exp_avg: numbers(7, 1) }, ranges([0, 8]))).toThrow(
    'shapes do not fit',
  );
  expect(() => step(vectors, new Int32Array(13))).toThrow('shapes do not fit');
  for (const own of [ranges([0, 9]), ranges([2, 4], [3, 5]), ranges([-1, 2])])
    expect(() => step(vectors, own)).toThrow('ranges do not fit');
});

describe('the tensors that a kernel writes after a step', () => {
  it.each(['float32', 'bfloat16'] as const)(
    'are those of a model loaded with the same adapter: %s',
    async (base_dtype) => {
      const input = smallInput('left');
      const load = (adapter: Adapter) => loadModel(smallBase(), adapter, { ops, base_dtype });
      const model = await load(smallAdapter(() => true));
      const start = await model.logits(input);
      for (let i = 0; i < 2; i++) {
        const { labelled } = await model.accumulate(input, i);
        await model.step(labelled, { learning_rate: 0.1, weight_decay: 0.1, max_grad_norm: 1 });
      }
      const again = await load(await model.adapter());
      const logits = await again.logits(input);
      expect(logits).not.toEqual(start);
      expect(await model.logits(input)).toEqual(logits);
      await model.rescale([0.5]);
      await again.rescale([0.5]);
      expect(await model.logits(input)).toEqual(await again.logits(input));
      model.dispose();
      again.dispose();
      expect(ops.live()).toBe(live);
    },
  );

  it('are not uploaded again, also where the rows of queries and keys are in another order', async () => {
    let uploads = 0;
    const counting = new Proxy<Ops>(ops, {
      get: (own, name) => {
        if (name === 'upload') uploads++;
        return Reflect.get(own, name, own) as unknown;
      },
    });
    const input = smallInput('left');
    const model = await loadModel(
      smallBase(),
      smallAdapter((path) => path.endsWith('_proj')),
      { ops: counting, base_dtype: 'bfloat16' },
    );
    const { labelled } = await model.accumulate(input, 0);
    const before = uploads;
    expect(before).toBeGreaterThan(0);
    await model.step(labelled, { learning_rate: 0.1, weight_decay: 0.1, max_grad_norm: 1 });
    expect(uploads).toBe(before);
    model.dispose();
  });

  it('are refused where they do not fit', () => {
    const theta = numbers(64, 1);
    const [A, B] = [
      ops.upload(new Float32Array(8), [2, 4]),
      ops.upload(new Float32Array(6), [3, 2]),
    ];
    const orderOf = (...rows: readonly number[]) =>
      ops.upload(Int32Array.from(rows), [rows.length]);
    const write = (placed: readonly number[], order: Tensor | null = null) => {
      const words = new Int32Array(Float64Array.from(placed).buffer);
      ops.fused!.writeFactors(theta, words, [{ A, B, order }]);
    };
    // block, a, b, r, in, row, rows, rank, ranks, out, scaling
    const good = [0, 0, 8, 1, 4, 0, 3, 1, 2, 3, 0.5];
    const orders = [orderOf(2, 0, 1), orderOf(0, 1), orderOf(0, 56, 1), orderOf(0, -1, 1)];
    write(good);
    write(good, orders[0]);
    for (const order of orders.slice(1))
      expect(() => {
        write(good, order);
      }).toThrow('shapes do not fit');
    for (const [place, value] of [
      [0, 1],
      [1, 61],
      [2, 62],
      [3, 2],
      [4, 5],
      [5, 1],
      [7, 2],
      [8, 2 ** 60],
      [9, NaN],
    ] as const)
      expect(() => {
        write(good.with(place, value));
      }).toThrow('shapes do not fit');
    ops.free(A, B, ...orders);
    expect(ops.live()).toBe(live);
  });
});
