import { needsLists, type RerankerLoss } from '../../shared/rerankerSettings';
import { lossOf, type Loss, type Targets } from './loss';

/** The outputs of a head for documents, one each, and what they are compared with. */
export interface RatedBatch extends Targets {
  readonly outputs: Float32Array;
  /** How many documents each list has; null: every document is a row of its own. */
  readonly groups: Int32Array | null;
}

/**
 * The loss of rated documents (CrossEncoder losses of sentence-transformers), summed over the rows,
 * and its gradient. A loss that sentence-transformers gives to a whole batch counts as that of each
 * of its rows.
 *
 * @param name Null: that which fits the rows.
 */
export function rankingLoss(batch: RatedBatch, name: RerankerLoss | null): Loss {
  const { outputs, groups } = batch;
  const loss = name ?? (groups ? 'ListNetLoss' : 'BinaryCrossEntropyLoss');
  if (needsLists(loss) !== (groups !== null)) throw new RangeError(`${loss} is for other rows.`);
  switch (loss) {
    case 'BinaryCrossEntropyLoss':
      return lossOf('multi_label', outputs, 1, batch);
    case 'MSELoss':
      return lossOf('regression', outputs, 1, batch);
    case 'ListNetLoss':
      return listNetLoss(batch);
    case 'RankNetLoss':
      return rankNetLoss(batch);
  }
}

/** The documents of each list: from, and after the last. */
function rangesOf({ groups }: RatedBatch): (readonly [number, number])[] {
  let end = 0;
  return Array.from(groups ?? [], (size) => [end, (end += size)] as const);
}

/** ListNet (Cao et al. 2007): -Σ softmax(scores) · log softmax(outputs). */
function listNetLoss(batch: RatedBatch): Loss {
  const { outputs, labels, weights } = batch;
  const gradient = new Float32Array(outputs.length);
  const ranges = rangesOf(batch);
  let loss_sum = 0;
  let weight = 0;
  ranges.forEach(([start, end], row) => {
    const own = weights?.[row] ?? 1;
    const wanted = logSoftmax(labels.subarray(start, end)).map(Math.exp);
    const found = logSoftmax(outputs.subarray(start, end));
    wanted.forEach((p, i) => {
      loss_sum -= own * p * found[i]!;
      gradient[start + i] = own * (Math.exp(found[i]!) - p);
    });
    weight += own;
  });
  return { loss_sum, labelled: ranges.length, weight, gradient };
}

function logSoftmax(values: ArrayLike<number>): Float64Array {
  const own = Float64Array.from(values);
  const top = own.reduce((most, value) => Math.max(most, value), -Infinity);
  const log = Math.log(own.reduce((sum, value) => sum + Math.exp(value - top), 0));
  return own.map((value) => value - top - log);
}

/**
 * RankNet (Burges et al. 2005), in bits: the mean of log2(1 + exp(z_j - z_i)) over all pairs of
 * documents of a list of which i has the higher score.
 */
function rankNetLoss(batch: RatedBatch): Loss {
  const { outputs, labels } = batch;
  const ranges = rangesOf(batch);
  const slopes = new Float64Array(outputs.length);
  let sum = 0;
  let pairs = 0;
  for (const [start, end] of ranges)
    for (let i = start; i < end; i++)
      for (let j = start; j < end; j++) {
        if (labels[i]! <= labels[j]!) continue;
        const z = outputs[j]! - outputs[i]!;
        sum += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
        const slope = 1 / (1 + Math.exp(-z));
        slopes[i]! -= slope;
        slopes[j]! += slope;
        pairs++;
      }
  const factor = ranges.length / (Math.LN2 * Math.max(1, pairs));
  return {
    loss_sum: factor * sum,
    labelled: ranges.length,
    weight: ranges.length,
    gradient: Float32Array.from(slopes, (slope) => factor * slope),
  };
}
