import { NO_LABEL } from '../../shared/task';
import type { LossKind, LossSum } from '../model';

export interface Loss extends LossSum {
  /** Gradient of the sum with respect to the outputs. */
  readonly gradient: Float32Array;
}

/** The cosines' factor for in-batch negatives, as in sentence-transformers. */
const PAIR_SCALE = 20;

/** What the outputs of a head are compared with. */
export interface Targets {
  /** Empty for pairs. */
  readonly labels: Int32Array | Float32Array;
  /** See `LabelledInput.weights`. */
  readonly weights?: Float32Array | undefined;
  /** Label smoothing of classes (Szegedy et al. 2016), from 0 to 1. Default: 0. */
  readonly smoothing?: number;
}

/** The loss of a head's outputs [rows, width], and its gradient. Sums in f64. */
export function lossOf(
  kind: Exclude<LossKind, 'next_token'>,
  outputs: Float32Array,
  width: number,
  targets: Targets,
): Loss {
  switch (kind) {
    case 'token':
    case 'single_label':
      return crossEntropy(outputs, width, targets);
    case 'multi_label':
      return elementwiseLoss(outputs, width, targets, BINARY_CROSS_ENTROPY);
    case 'regression':
      return elementwiseLoss(outputs, width, targets, SQUARED_ERROR);
    case 'pairs':
      return pairLoss(outputs, width, targets.weights);
  }
}

/** Of an output z and its label y. */
interface ElementLoss {
  readonly loss: (z: number, y: number) => number;
  readonly slope: (z: number, y: number) => number;
}

/** With logits, in the form that does not overflow. */
const BINARY_CROSS_ENTROPY: ElementLoss = {
  loss: (z, y) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z))),
  slope: (z, y) => 1 / (1 + Math.exp(-z)) - y,
};

const SQUARED_ERROR: ElementLoss = {
  loss: (z, y) => (z - y) ** 2,
  slope: (z, y) => 2 * (z - y),
};

function elementwiseLoss(
  outputs: Float32Array,
  width: number,
  { labels, weights }: Targets,
  { loss, slope }: ElementLoss,
): Loss {
  let loss_sum = 0;
  let weight = 0;
  const gradient = outputs.map((z, i) => {
    const own = weights?.[Math.floor(i / width)] ?? 1;
    loss_sum += own * loss(z, labels[i]!);
    weight += own;
    return own * slope(z, labels[i]!);
  });
  return { loss_sum, labelled: outputs.length, weight, gradient };
}

/**
 * Smoothed by ε: (1 - ε) · -log p[label] + ε · the mean of -log p over all classes
 * (LabelSmoother of transformers).
 */
function crossEntropy(
  outputs: Float32Array,
  width: number,
  { labels, weights, smoothing = 0 }: Targets,
): Loss {
  const gradient = new Float32Array(outputs.length);
  let loss_sum = 0;
  let labelled = 0;
  let weight = 0;
  for (let row = 0; row * width < outputs.length; row++) {
    const label = labels[row]!;
    if (label === NO_LABEL) continue;
    const z = outputs.subarray(row * width, (row + 1) * width);
    const p = softmax(z);
    const own = weights?.[row] ?? 1;
    loss_sum -= own * (Math.log(p[label]!) - smoothing * (z[label]! - mean(z)));
    labelled++;
    weight += own;
    const others = smoothing / width;
    p.forEach((value, i) => {
      const target = others + (i === label ? 1 - smoothing : 0);
      gradient[row * width + i] = own * (value - target);
    });
  }
  return { loss_sum, labelled, weight, gradient };
}

const mean = (z: Float32Array): number => z.reduce((sum, value) => sum + value, 0) / z.length;

function softmax(z: Float32Array): Float64Array {
  const top = z.reduce((most, value) => Math.max(most, value), -Infinity);
  const e = Float64Array.from(z, (value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / sum);
}

/**
 * Multiple negatives ranking (Henderson et al. 2017): among the second halves of all pairs, that of
 * a row's own pair must be the nearest. `vectors` [2 pairs, width] need not have length 1.
 */
function pairLoss(vectors: Float32Array, width: number, weights: Targets['weights']): Loss {
  const pairs = vectors.length / width / 2;
  const units = unitRows(vectors, width);
  const scores = new Float32Array(pairs * pairs);
  for (let i = 0; i < pairs; i++) {
    for (let j = 0; j < pairs; j++) {
      const cosine = dotOfRows(units, i, pairs + j);
      scores[i * pairs + j] = PAIR_SCALE * cosine;
    }
  }
  const ownPairs = Int32Array.from({ length: pairs }, (_, i) => i);
  const targets = { labels: ownPairs, weights };
  const { gradient: dScores, ...sums } = crossEntropy(scores, pairs, targets);
  const dUnits = new Float64Array(vectors.length);
  for (let i = 0; i < pairs; i++) {
    for (let j = 0; j < pairs; j++) {
      const d = PAIR_SCALE * dScores[i * pairs + j]!;
      const first = i * width;
      const second = (pairs + j) * width;
      for (let k = 0; k < width; k++) {
        dUnits[first + k]! += d * units.rows[second + k]!;
        dUnits[second + k]! += d * units.rows[first + k]!;
      }
    }
  }
  return { ...sums, gradient: unitRowsBackward(units, dUnits) };
}

/** Rows of length 1, and the lengths that they had. */
interface UnitRows {
  readonly rows: Float64Array;
  readonly lengths: Float64Array;
  readonly width: number;
}

function unitRows(vectors: Float32Array, width: number): UnitRows {
  const rows = Float64Array.from(vectors);
  const lengths = Float64Array.from({ length: vectors.length / width }, (_, index) => {
    const row = rows.subarray(index * width, (index + 1) * width);
    const square = row.reduce((sum, x) => sum + x * x, 0);
    const length = Math.max(1e-12, Math.sqrt(square));
    row.forEach((x, i) => (row[i] = x / length));
    return length;
  });
  return { rows, lengths, width };
}

/** Gradient of v for u = v / ‖v‖: (du - u (u · du)) / ‖v‖ */
function unitRowsBackward({ rows, lengths, width }: UnitRows, dUnits: Float64Array): Float32Array {
  const gradient = new Float32Array(rows.length);
  lengths.forEach((length, row) => {
    const start = row * width;
    const end = start + width;
    let projection = 0;
    for (let k = start; k < end; k++) projection += rows[k]! * dUnits[k]!;
    for (let k = start; k < end; k++) {
      gradient[k] = (dUnits[k]! - rows[k]! * projection) / length;
    }
  });
  return gradient;
}

function dotOfRows({ rows, width }: UnitRows, i: number, j: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += rows[i * width + k]! * rows[j * width + k]!;
  return sum;
}

/** Scales rows of `width` elements to length 1. */
export function normalizedRows(vectors: Float32Array, width: number): Float32Array {
  return Float32Array.from(unitRows(vectors, width).rows);
}
