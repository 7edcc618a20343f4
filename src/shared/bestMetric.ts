import type { EvalLine } from './metrics/lines';
import { METRICS, VALIDATION_SCORES, type ScoreName } from './metrics/table';
import { hasKinds, type ProblemType, type Task } from './task';

/** What the best evaluation is chosen by: the validation loss, or a score of the task. */
export type BestMetric = 'loss' | ScoreName;

/** The choices for training.metric_for_best_model. */
export const BEST_METRICS: readonly [BestMetric, ...BestMetric[]] = ['loss', ...VALIDATION_SCORES];

/** Whether a name is one of them. */
export const isBestMetric = (name: unknown): name is BestMetric =>
  BEST_METRICS.some((own) => own === name);

/** Whether a higher value of a metric is better. */
export function isGreaterBetter(metric: BestMetric): boolean {
  if (metric === 'loss') return false;
  const row = METRICS[metric];
  return !('lower' in row);
}

/** The part of a run's record that is read here; the record's own type depends on this file. */
interface TrainedRun {
  readonly recipe: { readonly training?: Readonly<Record<string, unknown>> };
}

/** What best/ of a run is chosen by; recipes of older versions name nothing: the loss. */
export function bestMetricOf(run: TrainedRun | null): BestMetric {
  const name = run?.recipe.training?.['metric_for_best_model'];
  return isBestMetric(name) ? name : 'loss';
}

/** The value of a metric in an evaluation; NaN where it has none. */
export const metricOf = (
  { loss, scores }: Pick<EvalLine, 'loss' | 'scores'>,
  metric: BestMetric,
): number => (metric === 'loss' ? loss : (scores?.[metric] ?? NaN));

/** Whether a value is better than another; NaN is not. */
export const isBetter = (value: number, other: number, metric: BestMetric): boolean =>
  isGreaterBetter(metric) ? value > other : value < other;

const CLASSIFICATION: readonly ScoreName[] = ['accuracy', 'f1'];
const CALLS: readonly ScoreName[] = [
  'calls_right',
  'calls_parsed',
  'calls_named',
  'calls_arguments',
];

/** Whether a metric says how a model calls tools, which only some rows ask it to. */
export const isOfCalls = (metric: BestMetric): boolean => CALLS.some((own) => own === metric);

const SCORES_OF_TASKS: Readonly<Record<Task, readonly ScoreName[]>> = {
  causal_lm: ['perplexity', ...CALLS],
  seq2seq_lm: ['perplexity'],
  seq_cls: [...CLASSIFICATION, 'rmse', 'pearson'],
  token_cls: CLASSIFICATION,
  image_cls: [...CLASSIFICATION, 'rmse', 'pearson'],
  features: [...CLASSIFICATION, 'rmse', 'pearson'],
  embedding: [
    'cosine',
    'retrieval',
    'ndcg_at_10',
    'mrr_at_10',
    'recall_at_10',
    'pearson',
    'spearman',
  ],
  contrastive: ['accuracy', 'retrieval', 'mrr_at_10', 'recall_at_10'],
  reward: [],
  reranker: ['ndcg_at_10', 'mrr_at_10', 'recall_at_10', 'pearson', 'spearman'],
};

/**
 * The metrics that evaluations of a task have. `problem_type`: null where the rows decide it; then
 * those of all kinds.
 */
export function metricsOfTask(task: Task, problem_type: ProblemType | null): BestMetric[] {
  const isRegression = (name: ScoreName) => name === 'rmse' || name === 'pearson';
  const usual = task === 'image_cls' ? 'single_label_classification' : null;
  const kind = task === 'image_cls' || hasKinds(task) ? (problem_type ?? usual) : null;
  const scores = SCORES_OF_TASKS[task].filter(
    (name) => kind === null || isRegression(name) === (kind === 'regression'),
  );
  return ['loss', ...scores];
}
