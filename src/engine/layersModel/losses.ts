import type { Tensor, Tf } from '../../tfjs/tf';
import type { LossKind } from '../../models/model';

/** The losses of models with one output for a row. */
export type RowLoss = Extract<LossKind, 'single_label' | 'multi_label' | 'regression'>;

/** Outputs before softmax or sigmoid [rows, width] and what they should be. */
interface LossInput {
  readonly outputs: Tensor;
  /** Class indices [rows], or numbers [rows, width]. */
  readonly labels: Int32Array | Float32Array;
  readonly label_smoothing: number;
}

/** The sum of the losses of all labels, by the formulas of torch.nn.functional. */
export function lossSum(
  tf: Tf,
  loss: RowLoss,
  { outputs, labels, label_smoothing }: LossInput,
): Tensor {
  const width = outputs.shape[1]!;
  if (loss === 'single_label') {
    // 1 - ε on the class, ε shared by all
    const target = tf.oneHot(
      tf.tensor1d(labels, 'int32'),
      width,
      1 - label_smoothing + label_smoothing / width,
      label_smoothing / width,
    );
    return tf.neg(tf.sum(tf.mul(target, tf.logSoftmax(outputs))));
  }
  const target = tf.tensor2d(Float32Array.from(labels), outputs.shape as [number, number]);
  if (loss === 'regression') return tf.sum(tf.square(tf.sub(outputs, target)));
  // max(z, 0) - z·y + log(1 + e^-|z|)
  const tail = tf.log1p(tf.exp(tf.neg(tf.abs(outputs))));
  return tf.sum(tf.add(tf.sub(tf.relu(outputs), tf.mul(outputs, target)), tail));
}
