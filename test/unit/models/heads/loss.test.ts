import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lossOf, type Targets } from '../../../../src/models/heads/loss';
import { normalizedRows } from '../../../../src/models/heads/unitRows';

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
  targets: Targets,
): void {
  const { gradient } = lossOf(kind, outputs, WIDTH, targets);
  const h = 1 / 64; // Exact in f32 when added to numbers of this size.
  outputs.forEach((z, i) => {
    const at = (step: number) =>
      lossOf(
        kind,
        outputs.map((x, k) => (k === i ? z + step : x)),
        WIDTH,
        targets,
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
      { labels: Int32Array.of(1, -100) },
    );
    expect(labelled).toBe(1);
    expect(loss_sum).toBeCloseTo(Math.log(Math.exp(1) + Math.exp(2) + Math.exp(3)) - 2, 6);
    expect([...gradient.subarray(3)]).toEqual([0, 0, 0]);
    fc.assert(
      fc.property(
        numbers(4),
        fc.array(fc.constantFrom(-100, 0, 1, 2), { minLength: 4, maxLength: 4 }),
        (z, labels) => expectSlopes('token', z, { labels: Int32Array.from(labels) }),
      ),
      { numRuns: 40 },
    );
  });

  it('is the binary cross-entropy of each label for multi-label classification', () => {
    const { loss_sum, labelled } = lossOf('multi_label', Float32Array.of(0.5, -2, 40), WIDTH, {
      labels: Float32Array.of(1, 0, 0),
    });
    expect(labelled).toBe(3);
    expect(loss_sum).toBeCloseTo(Math.log(1 + Math.exp(-0.5)) + Math.log(1 + Math.exp(-2)) + 40, 5);
    fc.assert(
      fc.property(numbers(2), (z) =>
        expectSlopes('multi_label', z, { labels: Float32Array.of(1, 0, 1, 0, 0, 1) }),
      ),
      { numRuns: 40 },
    );
  });

  it('is the squared error for regression', () => {
    expect(
      lossOf('regression', Float32Array.of(1, 2, 3), WIDTH, { labels: Float32Array.of(0, 2, 5) }),
    ).toMatchObject({ loss_sum: 5, labelled: 3 });
    fc.assert(
      fc.property(numbers(2), (z) =>
        expectSlopes('regression', z, { labels: Float32Array.of(1, -1, 0.5, 2, 0, -2) }),
      ),
      { numRuns: 40 },
    );
  });
});

describe('weights', () => {
  const z = Float32Array.of(1, 2, 3, 0.5, -1, 0, 2, 2, -2);
  const rowOf = (row: number) => z.subarray(row * WIDTH, (row + 1) * WIDTH);

  it.each<['single_label' | 'multi_label' | 'regression', Int32Array | Float32Array]>([
    ['single_label', Int32Array.of(1, 0, 2)],
    ['multi_label', Float32Array.of(1, 0, 1, 0, 0, 1, 1, 1, 0)],
    ['regression', Float32Array.of(1, -1, 0.5, 2, 0, -2, 0, 0, 1)],
  ])('multiply the losses of rows and their gradients: %s', (kind, labels) => {
    const weights = Float32Array.of(0.5, 3, 1);
    const found = lossOf(kind, z, WIDTH, { labels, weights });
    const width = labels.length / 3;
    const parts = [0, 1, 2].map((row) =>
      lossOf(kind, rowOf(row), WIDTH, { labels: labels.slice(row * width, (row + 1) * width) }),
    );
    const sum = parts.reduce((total, { loss_sum }, row) => total + weights[row]! * loss_sum, 0);
    expect(found.loss_sum).toBeCloseTo(sum, 10);
    expect(found.weight).toBe(4.5 * width);
    expect(found.labelled).toBe(3 * width);
    const gradients = parts.flatMap(({ gradient }, row) =>
      [...gradient].map((value) => value * weights[row]!),
    );
    found.gradient.forEach((value, i) => expect(value).toBeCloseTo(gradients[i]!, 6));
  });

  it('have the gradients of the weighted sums, also smoothed', () => {
    const weights = Float32Array.of(0.5, 3, 1);
    const labels = Int32Array.of(1, -100, 2);
    expectSlopes('token', z, { labels, weights, smoothing: 0.2 });
  });
});

it('label smoothing mixes the loss with the mean over all classes', () => {
  const z = Float32Array.of(1, 2, 3);
  const at = (label: number) =>
    lossOf('single_label', z, WIDTH, { labels: Int32Array.of(label) }).loss_sum;
  const smoothed = lossOf('single_label', z, WIDTH, { labels: Int32Array.of(1), smoothing: 0.3 });
  expect(smoothed.loss_sum).toBeCloseTo(0.7 * at(1) + (0.3 * (at(0) + at(1) + at(2))) / 3, 10);
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
