import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { adamWStep, stepTensors } from '../../src/models/training/adamw';
import { stepRange } from '../../src/models/training/adapterStep';
import type { FusedOps } from '../../src/models/ops/fusedOps';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Precision, Tensor } from '../../src/models/ops/ops';
import { createRandom } from '../../src/shared/random';
import { PEFT_CASES } from '../support/peftCases';
import { tfBinding } from '../support/models';
import { expectSameResults } from '../support/sameResults';

let fusing: TensorFlowOps;
let plain: TensorFlowOps;
let fused: FusedOps;
beforeAll(async () => {
  const binding = await tfBinding();
  fusing = new TensorFlowOps(binding);
  plain = new TensorFlowOps(binding, { fuse: false });
  fused = fusing.fused!;
});

it("the fused kernels are part of this build's binding", () => {
  expect(fusing.fused).not.toBeNull();
  expect(plain.fused).toBeNull();
});

describe.each(PEFT_CASES)('%s', (name) => {
  it('has the same loss and gradients with fused kernels as with separate operations', async () => {
    await expectSameResults(name, fusing, plain);
  });
});

/** Random numbers in [-spread, spread]. */
function numbers(shape: readonly number[], seed: number, spread = 3): Float32Array {
  const random = createRandom(seed, 'fused');
  return Float32Array.from(
    { length: shape.reduce((n, d) => n * d, 1) },
    () => (random() * 2 - 1) * spread,
  );
}

describe.each(['f32', 'bf16'] as const)('in %s', (dtype) => {
  /** The last bit of bf16; f32 differs in the order of sums and in the exponential's last bits. */
  const tolerance = dtype === 'f32' ? 2e-6 : 2 ** -8;
  const upload = (data: Float32Array, shape: readonly number[], as: Precision = dtype): Tensor => {
    const wide = fusing.upload(data, shape);
    return as === 'f32' ? wide : fusing.cast(wide, as);
  };
  const read = (x: Tensor) => fusing.download(x);
  const close = async (have: Tensor, want: (i: number) => number, scale = 1) => {
    const data = await read(have);
    data.forEach((h, i) => {
      expect(Math.abs(h - want(i)), `number ${i}`).toBeLessThanOrEqual(
        tolerance * Math.max(scale, Math.abs(want(i))),
      );
    });
  };
  /** Not a multiple of a vector register's width. */
  const shape = [37, 83];
  const [n, d] = shape as [number, number];

  it('silu(gate) · up and its gradients follow the formula, also for large inputs', async () => {
    const inputs = [numbers(shape, 1, 30), numbers(shape, 2), numbers(shape, 3)].map((data) =>
      upload(data, shape),
    ) as [Tensor, Tensor, Tensor];
    const [g, u, dm] = (await Promise.all(inputs.map(read))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    await close(fused.glu(inputs[0], inputs[1]), (i) => g[i]! * sigmoid(g[i]!) * u[i]!);
    const [dGate, dUp] = fused.gluGrad(...inputs);
    await close(dUp, (i) => dm[i]! * g[i]! * sigmoid(g[i]!));
    await close(
      dGate,
      (i) => dm[i]! * u[i]! * sigmoid(g[i]!) * (1 + g[i]! * (1 - sigmoid(g[i]!))),
      30,
    );
  });

  it('softmax adds the mask of each row, also if it hides every key', async () => {
    const [batch, kv, group, rows, keys] = [2, 3, 2, 5, 19];
    const scores = upload(numbers([batch * kv, group * rows, keys], 4, 8), [
      batch * kv,
      group * rows,
      keys,
    ]);
    const maskData = Float32Array.from({ length: batch * rows * keys }, (_, i) =>
      i % 7 === 0 || Math.floor(i / keys) === 3 ? -1e30 : 0,
    );
    const mask = upload(maskData, [batch, 1, rows, keys], 'f32');
    const s = await read(scores);
    const p = await read(fused.softmax(scores, mask));
    for (let row = 0; row < batch * kv * group * rows; row++) {
      const masked = Array.from(
        { length: keys },
        (_, i) =>
          s[row * keys + i]! +
          maskData[(Math.floor(row / (kv * group * rows)) * rows + (row % rows)) * keys + i]!,
      );
      const top = Math.max(...masked);
      const e = masked.map((x) => Math.exp(x - top));
      const total = e.reduce((a, b) => a + b);
      e.forEach((x, i) => {
        expect(Math.abs(p[row * keys + i]! - x / total)).toBeLessThanOrEqual(tolerance);
      });
    }
  });

  it('cross-entropy is correct for likely and very unlikely labels', async () => {
    const z = numbers(shape, 5, 60);
    const logits = upload(z, shape);
    const rounded = await read(logits);
    const labels = Int32Array.from({ length: n }, (_, i) => (i * 7) % d);
    const { p, loss } = fused.crossEntropy(logits, fusing.upload(labels, [n]), 'p');
    const losses = await read(loss);
    const probabilities = await read(p!);
    for (let row = 0; row < n; row++) {
      const x = rounded.subarray(row * d, (row + 1) * d);
      const top = x.reduce((a, b) => Math.max(a, b));
      const total = x.reduce((sum, v) => sum + Math.exp(v - top), 0);
      expect(
        Math.abs(losses[row]! - (top + Math.log(total) - x[labels[row]!]!)),
      ).toBeLessThanOrEqual(2e-5);
      x.forEach((v, i) => {
        expect(
          Math.abs(probabilities[row * d + i]! - Math.exp(v - top) / total),
        ).toBeLessThanOrEqual(tolerance);
      });
    }
    const gradient = await read(fused.crossEntropy(logits, fusing.upload(labels, [n]), 'dz').p!);
    gradient.forEach((dz, i) => {
      expect(
        Math.abs(dz - probabilities[i]! + (i % d === labels[Math.floor(i / d)] ? 1 : 0)),
      ).toBeLessThanOrEqual(2 * tolerance);
    });
    expect(fused.crossEntropy(logits, fusing.upload(labels, [n]), 'loss').p).toBeNull();
    expect(() => fused.crossEntropy(logits, fusing.upload(labels.fill(d), [n]), 'p')).toThrow(
      /a label .* vocabulary/,
    );
  });

  it('a sum rounds once', async () => {
    const [a, b, c] = [
      upload(numbers(shape, 6), shape),
      upload(numbers(shape, 7), shape, 'f32'),
      upload(numbers(shape, 8), shape),
    ];
    const [x, y, z] = (await Promise.all([a, b, c].map(read))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    await close(fused.sum([a, b, c], dtype), (i) => x[i]! + y[i]! + z[i]!);
    await close(fused.sum([a, b], 'f32'), (i) => x[i]! + y[i]!);
  });

  it('sums of columns, and of products, are those in f64', async () => {
    const rows = 700;
    const [x, y] = [numbers([rows, d], 14), numbers([rows, d], 15)];
    const tensors = [upload(x, [rows, d]), upload(y, [rows, d], 'f32')] as const;
    const own = await read(tensors[0]);
    const sumOf = (column: number, term: (i: number) => number) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += term(row * d + column);
      return sum;
    };
    const [sums, dots] = [fused.columnSums(tensors[0]), fused.columnSums(...tensors)];
    expect(sums.shape).toEqual([1, d]);
    (await read(sums)).forEach((sum, c) => {
      const want = sumOf(c, (i) => own[i]!);
      expect(Math.abs(sum - want)).toBeLessThanOrEqual(1e-7 * Math.abs(want) + 1e-12);
    });
    (await read(dots)).forEach((dot, c) => {
      const want = sumOf(c, (i) => own[i]! * y[i]!);
      expect(Math.abs(dot - want)).toBeLessThanOrEqual(1e-7 * Math.abs(want) + 1e-12);
    });
    expect([...(await read(fused.columnSums(upload(new Float32Array(0), [0, 3]))))]).toEqual([
      0, 0, 0,
    ]);
    expect(() => fused.columnSums(tensors[0], upload(x.slice(d), [rows - 1, d]))).toThrow(
      'shapes do not fit',
    );
  });

  if (dtype === 'f32') {
    it('an AdamW step equals that of the flat vector and updates the tensors in place', async () => {
      const [theta, gradients, exp_avg] = [
        numbers(shape, 10),
        numbers(shape, 11),
        numbers(shape, 12),
      ];
      const exp_avg_sq = numbers(shape, 13).map(Math.abs);
      const tensors = [theta, gradients, exp_avg, exp_avg_sq].map((data) =>
        upload(data.slice(), shape),
      ) as [Tensor, Tensor, Tensor, Tensor];
      const step = adamWStep(3, { learning_rate: 0.02, weight_decay: 0.1 }, 0.37);
      const weight = { theta: tensors[0], exp_avg: tensors[2], exp_avg_sq: tensors[3] };
      const after = stepTensors(fusing, weight, tensors[1], step);
      expect(after.theta).toBe(tensors[0]);
      gradients.forEach((g, i) => (gradients[i] = g * 0.37));
      const range = { ...step, start: 0, end: theta.length };
      stepRange({ theta, gradients, exp_avg, exp_avg_sq }, range);
      await close(after.theta, (i) => theta[i]!);
      await close(after.exp_avg, (i) => exp_avg[i]!);
      await close(after.exp_avg_sq, (i) => exp_avg_sq[i]!);
      expect(() =>
        fused.adamw(
          weight,
          fusing.upload(new Float32Array(3), [3]),
          fusing.upload(new Float32Array(8), [8]),
        ),
      ).toThrow(/shapes do not fit/);
    });
  }

  it('casts as libtensorflow does, including NaN and infinity', async () => {
    const data = numbers(shape, 9, 1e30);
    data.set([NaN, Infinity, -Infinity, 0, -0, 3.4e38, 1e-42]);
    const x = plain.upload(data, shape);
    expect(await plain.download(fusing.cast(x, 'bf16'))).toEqual(
      await plain.download(plain.cast(x, 'bf16')),
    );
  });
});

const LEVEL = 'LORA_KERNELS_LEVEL';
describe.skipIf(process.env[LEVEL] !== undefined)('on a processor with', () => {
  it.each([
    ['AVX-512 at most, without AMX', '2'],
    ['AVX2', '1'],
    ['neither', '0'],
  ])(
    '%s, all of this holds',
    (_, level) => {
      const vitest = path.resolve(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [
          vitest,
          'run',
          '--project',
          'parity',
          'parity/adapterStep.test.ts',
          'parity/dropout.test.ts',
          'parity/fused.test.ts',
          'parity/product.test.ts',
          'parity/mergeRows.test.ts',
        ],
        { encoding: 'utf8', env: { ...process.env, [LEVEL]: level } },
      );
      expect(status, stdout + stderr).toBe(0);
    },
    120_000,
  );
});

it('the largest of blocks of logits and the sums of their weights follow the formula', async () => {
  const [rows, vocab, width] = [3, 1000, 64];
  const temperatures = [1, 0.3, 0];
  const z = numbers([rows, vocab], 5, 40);
  z[7] = -Infinity;
  const { largest, sums } = fused.weigh(fusing.upload(z, [rows, vocab]), temperatures, width);
  const blocks = Math.ceil(vocab / width);
  expect([largest.shape, sums.shape]).toEqual([
    [rows, blocks],
    [rows, blocks, 2],
  ]);
  const [most, bits] = [await fusing.download(largest), await fusing.download(sums)];
  const weights = new Float64Array(bits.slice().buffer);
  for (let row = 0; row < rows; row++) {
    const own = z.subarray(row * vocab, (row + 1) * vocab);
    const best = own.reduce((a, b) => Math.max(a, b));
    for (let block = 0; block < blocks; block++) {
      const part = own.subarray(block * width, (block + 1) * width);
      const at = row * blocks + block;
      expect(most[at]).toBe(part.reduce((a, b) => Math.max(a, b)));
      const weigh = (x: number) =>
        temperatures[row] === 0 ? 0 : Math.exp((x - best) / temperatures[row]!);
      const want = part.reduce((sum, x) => sum + weigh(x), 0);
      expect(Math.abs(weights[at]! - want)).toBeLessThanOrEqual(1e-13 * want);
    }
  }
});
