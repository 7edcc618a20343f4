import type { Scores } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { PreparedData } from '../../data/dataset/prepare';
import { lengthOf } from '../../data/examples/example';
import type { Example } from '../../data/examples/example';
import { yieldToEventLoop } from '../../models/ops/ops';
import type { Model } from '../../models/model';
import type { Task } from '../../shared/task';
import { scorerOf } from './scores';

export interface EvaluateOptions {
  readonly task: Task;
  readonly labels: LabelSet | null;
  readonly collate: PreparedData['collate'];
  /**
   * In-batch negatives are as many as a batch has pairs: as in training. Others take 4 rows at
   * once.
   */
  readonly pairs_per_batch: number;
  readonly onProgress?: (fraction: number) => void;
}

export interface Evaluated {
  /** Mean over all labels of the examples. */
  readonly loss: number;
  readonly labelled: number;
  readonly scores: Scores;
}

const ROWS = 4;

/** Loss and scores of examples; those of like length share a batch. */
export async function evaluateExamples(
  model: Model,
  examples: readonly Example[],
  options: EvaluateOptions,
): Promise<Evaluated> {
  const { task, labels, collate, pairs_per_batch, onProgress } = options;
  const scorer = scorerOf(task, labels);
  const size = task === 'embedding' ? pairs_per_batch : ROWS;
  const sorted =
    task === 'embedding' ? examples : [...examples].sort((a, b) => lengthOf(a) - lengthOf(b));
  let [loss_sum, labelled] = [0, 0];
  for (let i = 0; i < sorted.length; i += size) {
    const batch = await collate(sorted.slice(i, i + size));
    const part = await model.evaluate(batch);
    loss_sum += part.loss_sum;
    labelled += part.labelled;
    if (part.outputs) scorer.add(batch, part.outputs);
    onProgress?.(Math.min(1, (i + size) / sorted.length));
    await yieldToEventLoop();
  }
  const loss = loss_sum / labelled;
  return { loss, labelled, scores: scorer.scores(loss) };
}
