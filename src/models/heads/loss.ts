import { NO_LABEL } from '../../shared/task';
import type { LossKind, LossSum } from '../model';

export interface Loss extends LossSum {
  /** Gradient of the sum with respect to the outputs. */
  readonly gradient: Float32Array;
}

/** What the outputs of a head are compared with. */
export interface Targets {
  /** Of pairs: their scores; empty without them. */
  readonly labels: Int32Array | Float32Array;
  /** See `LabelledInput.weights`. */
  readonly weights?: Float32Array | undefined;
  /** Label smoothing of classes (Szegedy et al. 2016), from 0 to 1. Default: 0. */
  readonly smoothing?: number;
}

/** The loss of a head's outputs [rows, width], and its gradient. Sums in f64. */
export function lossOf(
  kind: Exclude<LossKind, 'next_token' | 'pairs'>,
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
export function crossEntropy(
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
