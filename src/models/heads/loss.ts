import type { LossSum, LossKind } from '../model';

export interface Loss extends LossSum {
  /** Gradient of the sum for the outputs. */
  readonly gradient: Float32Array;
}

const NO_LABEL = -100;
/** Of in-batch negatives: the factor of the cosines (as sentence-transformers'). */
const PAIR_SCALE = 20;

/**
 * The loss of a head's outputs [rows, width], and its gradient. Cross-entropies are summed in f64.
 */
export function lossOf(
  problem: Exclude<LossKind, 'next_token'>,
  outputs: Float32Array,
  width: number,
  labels: Int32Array | Float32Array,
): Loss {
  switch (problem) {
    case 'token':
    case 'single_label':
      return crossEntropy(outputs, width, labels);
    case 'multi_label':
      return elementwise(
        outputs,
        labels,
        (z, y) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z))),
        (z, y) => 1 / (1 + Math.exp(-z)) - y,
      );
    case 'regression':
      return elementwise(
        outputs,
        labels,
        (z, y) => (z - y) ** 2,
        (z, y) => 2 * (z - y),
      );
    case 'pairs':
      return pairLoss(outputs, width);
  }
}

function elementwise(
  outputs: Float32Array,
  labels: ArrayLike<number>,
  loss: (z: number, y: number) => number,
  slope: (z: number, y: number) => number,
): Loss {
  let loss_sum = 0;
  const gradient = outputs.map((z, i) => {
    loss_sum += loss(z, labels[i]!);
    return slope(z, labels[i]!);
  });
  return { loss_sum, labelled: outputs.length, gradient };
}

function crossEntropy(outputs: Float32Array, width: number, labels: ArrayLike<number>): Loss {
  const gradient = new Float32Array(outputs.length);
  let [loss_sum, labelled] = [0, 0];
  for (let row = 0; row * width < outputs.length; row++) {
    const label = labels[row]!;
    if (label === NO_LABEL) continue;
    const z = outputs.subarray(row * width, (row + 1) * width);
    const p = softmax(z);
    loss_sum -= Math.log(p[label]!);
    labelled++;
    p.forEach((value, i) => (gradient[row * width + i] = value - (i === label ? 1 : 0)));
  }
  return { loss_sum, labelled, gradient };
}

function softmax(z: Float32Array): Float64Array {
  const top = z.reduce((most, value) => Math.max(most, value), -Infinity);
  const e = Float64Array.from(z, (value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / sum);
}

/**
 * Multiple negatives ranking (Henderson et al. 2017): of all second halves, a row's own must be the
 * nearest. Vectors [2 pairs, width] of any length.
 */
function pairLoss(vectors: Float32Array, width: number): Loss {
  const pairs = vectors.length / width / 2;
  const units = unitRows(vectors, width);
  const scores = new Float32Array(pairs * pairs);
  for (let i = 0; i < pairs; i++)
    for (let j = 0; j < pairs; j++)
      scores[i * pairs + j] = PAIR_SCALE * dot(units.rows, i, pairs + j, width);
  const {
    loss_sum,
    labelled,
    gradient: dScores,
  } = crossEntropy(
    scores,
    pairs,
    Int32Array.from({ length: pairs }, (_, i) => i),
  );
  const dUnits = new Float64Array(vectors.length);
  for (let i = 0; i < pairs; i++) {
    for (let j = 0; j < pairs; j++) {
      const d = PAIR_SCALE * dScores[i * pairs + j]!;
      for (let k = 0; k < width; k++) {
        dUnits[i * width + k]! += d * units.rows[(pairs + j) * width + k]!;
        dUnits[(pairs + j) * width + k]! += d * units.rows[i * width + k]!;
      }
    }
  }
  return { loss_sum, labelled, gradient: throughUnits(units, dUnits, width) };
}

interface Units {
  readonly rows: Float64Array;
  readonly lengths: Float64Array;
}

function unitRows(vectors: Float32Array, width: number): Units {
  const rows = Float64Array.from(vectors);
  const lengths = Float64Array.from({ length: vectors.length / width }, (_, row) => {
    const own = rows.subarray(row * width, (row + 1) * width);
    const length = Math.max(1e-12, Math.sqrt(own.reduce((sum, x) => sum + x * x, 0)));
    own.forEach((x, i) => (own[i] = x / length));
    return length;
  });
  return { rows, lengths };
}

/** d of v for u = v / ‖v‖: (du - u (u · du)) / ‖v‖ */
function throughUnits({ rows, lengths }: Units, dUnits: Float64Array, width: number): Float32Array {
  const gradient = new Float32Array(rows.length);
  lengths.forEach((length, row) => {
    let along = 0;
    for (let k = row * width; k < (row + 1) * width; k++) along += rows[k]! * dUnits[k]!;
    for (let k = row * width; k < (row + 1) * width; k++)
      gradient[k] = (dUnits[k]! - rows[k]! * along) / length;
  });
  return gradient;
}

function dot(rows: Float64Array, i: number, j: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += rows[i * width + k]! * rows[j * width + k]!;
  return sum;
}

/** Rows of length 1. */
export function normalizedRows(vectors: Float32Array, width: number): Float32Array {
  return Float32Array.from(unitRows(vectors, width).rows);
}
