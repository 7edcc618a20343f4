import type { Scores } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { PreparedData } from '../../data/dataset/prepare';
import type { Examples } from '../../data/examples/examples';
import { yieldToEventLoop } from '../../models/ops/ops';
import type { Model } from '../../models/model';
import type { Task } from '../../shared/task';
import type { ComparedPart, Comparisons } from '../comparisons/comparisons';
import { ComparisonTotals } from '../comparisons/totals';
import { scorerOf, type Scorer } from './scores';

/** How examples are evaluated. */
export interface EvaluateOptions {
  readonly task: Task;
  readonly labels: LabelSet | null;
  readonly collate: PreparedData['collate'];
  /**
   * Batch size of pairs, the same as in training: it decides the number of in-batch negatives.
   * Other tasks use batches of 4 rows.
   */
  readonly pairs_per_batch: number;
  /** Gets the outputs, too: it scores several sources together. */
  readonly total?: Scorer;
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** The result of evaluating examples. */
export interface EvaluationResult {
  /** Weighted mean over all labels. */
  readonly loss: number;
  /** Number of labels. */
  readonly labelled: number;
  /** Sum of their weights. */
  readonly weight: number;
  readonly scores: Scores;
}

const ROWS_PER_BATCH = 4;

/** Whether the other pairs of a batch are negatives. */
const isOfPairs = (task: Task): boolean => task === 'embedding' || task === 'contrastive';

/** Lists of documents are evaluated one by one: they are long, and their loss is their own. */
function batchSize(examples: Examples, { task, pairs_per_batch }: EvaluateOptions): number {
  if (isOfPairs(task)) return pairs_per_batch;
  if (task !== 'reranker' || examples.length === 0) return ROWS_PER_BATCH;
  const first = examples.at(0);
  return first.kind === 'ranking' && first.texts.length > 1 ? 1 : ROWS_PER_BATCH;
}

/** How answers that are compared are evaluated. */
interface ComparedOptions {
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** Is told the same: it adds up several sources. */
  readonly total?: ComparisonTotals;
}

/** Loss and scores of answers that are compared. `labelled`: pairs, or rows of kto. */
export async function evaluateCompared(
  model: Pick<Model, 'evaluate'>,
  comparisons: Comparisons,
  part: ComparedPart,
  { onProgress, total }: ComparedOptions = {},
): Promise<EvaluationResult> {
  const totals = new ComparisonTotals();
  let loss_sum = 0;
  let labelled = 0;
  for (const indices of part.batches) {
    const input = await comparisons.batch(part, indices);
    const result = await model.evaluate(input);
    loss_sum += result.loss_sum;
    labelled += result.labelled;
    const { comparison } = input;
    if (comparison && result.compared)
      for (const own of [totals, total]) own?.add(comparison, result.compared);
    onProgress?.(labelled / part.examples.length);
    await yieldToEventLoop();
  }
  return { loss: loss_sum / labelled, labelled, weight: labelled, scores: totals.scores() };
}

/** Loss and scores of examples. Examples of similar length share a batch, except pairs. */
export async function evaluateExamples(
  model: Pick<Model, 'evaluate'>,
  examples: Examples,
  options: EvaluateOptions,
): Promise<EvaluationResult> {
  const { task, labels, collate, total, onProgress } = options;
  const scorer = scorerOf(task, labels);
  const size = batchSize(examples, options);
  const order = Array.from({ length: examples.length }, (_, i) => i);
  if (!isOfPairs(task)) order.sort((a, b) => examples.lengthAt(a) - examples.lengthAt(b));
  let loss_sum = 0;
  let labelled = 0;
  let weight = 0;
  for (let i = 0; i < order.length; i += size) {
    const batch = await collate(order.slice(i, i + size).map((index) => examples.at(index)));
    const part = await model.evaluate(batch);
    loss_sum += part.loss_sum;
    labelled += part.labelled;
    weight += part.weight;
    if (part.outputs) for (const own of [scorer, total]) own?.add(batch, part.outputs);
    onProgress?.(Math.min(1, (i + size) / order.length));
    await yieldToEventLoop();
  }
  const loss = loss_sum / weight;
  return { loss, labelled, weight, scores: scorer.scores(loss) };
}
