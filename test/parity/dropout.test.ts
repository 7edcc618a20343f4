import { beforeAll, describe, expect, it } from 'vitest';
import type { DropoutForm } from '../../src/models/ops/dropoutForm';
import type { FusedOps } from '../../src/models/ops/fusedOps';
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

/** Random numbers in [-1, 1], in f32 or bf16. */
function random(shape: readonly [number, number], name: string, dtype: Precision = 'f32'): Tensor {
  const next = createRandom(9, name);
  const data = Float32Array.from({ length: shape[0] * shape[1] }, () => 2 * next() - 1);
  const wide = ops.upload(data, shape);
  return dtype === 'f32' ? wide : ops.cast(wide, dtype);
}

/** x · mask in f32, by libtensorflow; x itself without a seed. */
function maskedBy(x: Tensor, { rate, parts }: DropoutForm, part: number): Tensor {
  const wide = x.dtype === 'f32' ? x : ops.cast(x, 'f32');
  const { seed } = parts[part]!;
  return seed === null ? wide : ops.mul(wide, ops.dropoutMask(x.shape, rate, seed));
}

/** Of zeros, those without a sign. */
const numbersOf = async (x: Tensor): Promise<Float32Array> =>
  (await ops.download(x)).map((number) => number + 0);

describe.each(['f32', 'bf16'] as const)('what dropout leaves of %s', (dtype) => {
  it.each([
    [0.1, 0],
    [0.5, -1],
    [0.05, 2 ** 31 - 1],
    [0.999, -(2 ** 31)],
    [0, 12345],
  ])("at a rate of %d has the bits of libtensorflow's masks, seed %d", async (rate, seed) => {
    for (const [rows, width] of [
      [1, 8],
      [37, 83],
      [300, 128],
    ] as const) {
      const x = random([rows, width], 'x', dtype);
      const one = ops.upload(
        Float32Array.from({ length: width * width }, (_, i) => Number(i % (width + 1) === 0)),
        [width, width],
      );
      const form = { rate, parts: [{ r: width, seed }] };
      const want = await numbersOf(maskedBy(x, form, 0));
      expect(await numbersOf(fused.dropped(x, one, form))).toEqual(want);
    }
  });
});

/** Two modules with masks of their own, and a frozen one between them. */
const FORM: DropoutForm = {
  rate: 0.3,
  parts: [
    { r: 3, seed: 77 },
    { r: 4, seed: null },
    { r: 2, seed: -123456789 },
  ],
};

/** Of each part the ranks. */
const RANKS = [
  { from: 0, r: 3 },
  { from: 3, r: 4 },
  { from: 7, r: 2 },
];

describe('the factors of several modules behind dropout', () => {
  const [n, inner, out, r] = [45, 70, 52, 9] as const;
  const inputs = () => ({
    a: random([r, inner], 'a'),
    b: random([out, r], 'b'),
    x: random([n, inner], 'x', 'bf16'),
    dy: random([n, out], 'dy'),
  });
  const close = async (have: Tensor, want: Tensor) => {
    const [own, expected] = [await ops.download(have), await ops.download(want)];
    expect(own).toHaveLength(expected.length);
    own.forEach((number, i) => expect(Math.abs(number - expected[i]!)).toBeLessThan(2e-5));
  };

  it('read what is left of x', async () => {
    const { a, x } = inputs();
    const parts = RANKS.map(({ from, r: ranks }, i) =>
      ops.matMul(maskedBy(x, FORM, i), ops.slice(a, [from, 0], [ranks, inner]), false, true),
    );
    await close(fused.dropped(x, a, FORM), ops.concat(parts, 1));
  });

  it.each([true, false])('have their gradients, with that of x: %s', async (wantsInput) => {
    const { a, b, x, dy } = inputs();
    const xa = fused.dropped(x, a, FORM);
    const before = ops.live();
    const have = fused.droppedGradients({ dy, b, x, xa, a, dropout: FORM, wantsInput });
    expect(ops.live()).toBe(before + (wantsInput ? 2 : 1));
    const dxa = ops.matMul(dy, b);
    const own = RANKS.map(({ from, r: ranks }) => ops.slice(dxa, [0, from], [n, ranks]));
    const dA = ops.concat(
      own.map((columns, i) => ops.matMul(columns, maskedBy(x, FORM, i), true)),
      0,
    );
    const dB = ops.matMul(xa, dy, true);
    const flat = [dA, dB].map((each) => ops.reshape(each, [each.shape[0]! * each.shape[1]!]));
    await close(have.gradients, ops.concat(flat, 0));
    expect(have.dx === null).toBe(!wantsInput);
    if (!have.dx) return;
    const terms = RANKS.map(({ from, r: ranks }, i) =>
      maskedBy(ops.matMul(own[i]!, ops.slice(a, [from, 0], [ranks, inner])), FORM, i),
    );
    await close(have.dx, ops.addN(terms));
  });

  it('are refused where the parts do not fit them', () => {
    const { a, x } = inputs();
    const expectRefused = (form: DropoutForm) =>
      expect(() => fused.dropped(x, a, form)).toThrow('do not fit');
    expectRefused({ rate: 0.3, parts: [] });
    expectRefused({ rate: 0.3, parts: [{ r: 3, seed: 1 }] });
    expectRefused({ rate: 0.3, parts: [{ r: 10, seed: 1 }] });
    expectRefused({ rate: 0.3, parts: [0, 9].map((ranks) => ({ r: ranks, seed: 1 })) });
    expectRefused({ rate: 1, parts: [{ r: 9, seed: 1 }] });
  });
});
