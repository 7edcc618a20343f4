import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lossOf, normalizedRows } from '../../../../src/models/heads/loss';

const WIDTH = 3;
const numbers = (rows: number) =>
  fc
    .array(fc.double({ min: -3, max: 3, noNaN: true }), {
      minLength: rows * WIDTH,
      maxLength: rows * WIDTH,
    })
    .map((z) => Float32Array.from(z));

/** Compares the gradient with central differences of the sum, for each output. */
function expectSlopes(
  kind: Parameters<typeof lossOf>[0],
  outputs: Float32Array,
  labels: Int32Array | Float32Array,
): void {
  const { gradient } = lossOf(kind, outputs, WIDTH, labels);
  const h = 1 / 64; // Exact in f32 when added to numbers of this size.
  outputs.forEach((z, i) => {
    const at = (step: number) =>
      lossOf(
        kind,
        outputs.map((x, k) => (k === i ? z + step : x)),
        WIDTH,
        labels,
      ).loss_sum;
    const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    expect(Math.abs(gradient[i]! - slope)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
  });
}

describe('the loss', () => {
  it('is the cross-entropy of labelled rows for single-label classification', () => {
    const { loss_sum, labelled, gradient } = lossOf(
      'single_label',
      Float32Array.of(1, 2, 3, 9, 9, 9),
      WIDTH,
      Int32Array.of(1, -100),
    );
    expect(labelled).toBe(1);
    expect(loss_sum).toBeCloseTo(Math.log(Math.exp(1) + Math.exp(2) + Math.exp(3)) - 2, 6);
    expect([...gradient.subarray(3)]).toEqual([0, 0, 0]);
    fc.assert(
      fc.property(
        numbers(4),
        fc.array(fc.constantFrom(-100, 0, 1, 2), { minLength: 4, maxLength: 4 }),
        (z, labels) => expectSlopes('token', z, Int32Array.from(labels)),
      ),
      { numRuns: 40 },
    );
  });

  it('is the binary cross-entropy of each label for multi-label classification', () => {
    const { loss_sum, labelled } = lossOf(
      'multi_label',
      Float32Array.of(0.5, -2, 40),
      WIDTH,
      Float32Array.of(1, 0, 0),
    );
    expect(labelled).toBe(3);
    expect(loss_sum).toBeCloseTo(Math.log(1 + Math.exp(-0.5)) + Math.log(1 + Math.exp(-2)) + 40, 5);
    fc.assert(
      fc.property(numbers(2), (z) =>
        expectSlopes('multi_label', z, Float32Array.of(1, 0, 1, 0, 0, 1)),
      ),
      { numRuns: 40 },
    );
  });

  it('is the squared error for regression', () => {
    expect(
      lossOf('regression', Float32Array.of(1, 2, 3), WIDTH, Float32Array.of(0, 2, 5)),
    ).toMatchObject({ loss_sum: 5, labelled: 3 });
    fc.assert(
      fc.property(numbers(2), (z) =>
        expectSlopes('regression', z, Float32Array.of(1, -1, 0.5, 2, 0, -2)),
      ),
      { numRuns: 40 },
    );
  });

  it('of pairs is lowest if each anchor is nearest to its positive, and does not depend on vector norms', () => {
    const matched = Float32Array.of(1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 3, 0);
    const crossed = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 2, 0, 3, 0, 0);
    expect(lossOf('pairs', matched, WIDTH, new Int32Array(0)).loss_sum).toBeLessThan(1e-6);
    expect(lossOf('pairs', crossed, WIDTH, new Int32Array(0)).loss_sum).toBeCloseTo(40, 3);
    expect(
      lossOf(
        'pairs',
        crossed.map((x) => 7 * x),
        WIDTH,
        new Int32Array(0),
      ).loss_sum,
    ).toBeCloseTo(40, 3);
    const notShort = numbers(6).filter((z) =>
      [0, 1, 2, 3, 4, 5].every(
        (row) => Math.hypot(...z.subarray(row * WIDTH, (row + 1) * WIDTH)) > 1.5,
      ),
    );
    fc.assert(
      fc.property(notShort, (z) => {
        const { gradient } = lossOf('pairs', z, WIDTH, new Int32Array(0));
        const projections = [0, 1, 2, 3, 4, 5].map((row) =>
          z
            .subarray(row * WIDTH, (row + 1) * WIDTH)
            .reduce((sum, x, k) => sum + x * gradient[row * WIDTH + k]!, 0),
        );
        // Scaling a vector does not change the loss.
        for (const value of projections) expect(Math.abs(value)).toBeLessThan(1e-3);
        expectSlopes('pairs', z, new Int32Array(0));
      }),
      { numRuns: 30 },
    );
  });
});

it('normalized rows have length 1', () => {
  fc.assert(
    fc.property(
      numbers(2).filter(
        (z) => Math.hypot(...z.subarray(0, 3)) > 1e-3 && Math.hypot(...z.subarray(3)) > 1e-3,
      ),
      (z) => {
        const unit = normalizedRows(z, WIDTH);
        expect(Math.hypot(...unit.subarray(0, 3))).toBeCloseTo(1, 5);
      },
    ),
  );
});
