/** Method of the page's formatter that turns a value into text. */
export type NumberKind = 'count' | 'value' | 'rate' | 'speed' | 'bytes' | 'duration';

/**
 * Colors of VS Code's chart palette that stand out from the background in every built-in theme;
 * orange and yellow do not.
 */
export const CHART_COLORS = ['blue', 'green', 'purple', 'red'] as const;
export type ChartColor = (typeof CHART_COLORS)[number];

/** How the line of a metric is drawn; lines of one chart differ in more than their color. */
export type LineRole = 'single' | 'noisy' | 'smoothed' | 'evaluated';

/** The charts of a run in the order in which pages show them. */
export const CHARTS = {
  loss: { fromZero: false },
  general: { fromZero: false },
  score: { fromZero: false },
  learning_rate: { fromZero: true },
  grad_norm: { fromZero: true },
  tokens_per_second: { fromZero: true },
  memory: { fromZero: true },
  rewards: { fromZero: false },
  reward_margin: { fromZero: false },
  reward_accuracy: { fromZero: true },
  logps: { fromZero: false },
  kl: { fromZero: false },
  teacher_kl: { fromZero: true },
  expert_load: { fromZero: true },
} as const satisfies Readonly<Record<string, { readonly fromZero: boolean }>>;
export type ChartId = keyof typeof CHARTS;
/** The charts in the order in which pages show them. */
export const CHART_IDS = Object.keys(CHARTS) as readonly ChartId[];

interface Curve {
  readonly chart: ChartId;
  readonly color: ChartColor;
  readonly line: LineRole;
}

type MetricRow =
  /** A field of every step line. */
  | { readonly source: 'step'; readonly number: NumberKind; readonly curve: Curve | null }
  /** Computed from the loss by the page. */
  | { readonly source: 'smoothing'; readonly number: NumberKind; readonly curve: Curve }
  /** The loss of an eval line. */
  | { readonly source: 'eval'; readonly number: NumberKind; readonly curve: Curve }
  /**
   * A score of an eval line, drawn in the chart `score`. `max`: upper bound, null without one;
   * `lower`: a lower value is better; `isGeneral`: not of the validation set, and drawn in the
   * chart `general`.
   */
  | {
      readonly source: 'score';
      readonly number: NumberKind;
      readonly max: number | null;
      readonly lower?: true;
      readonly isGeneral?: true;
    }
  /** A field of the step lines of runs with preferences, a teacher or experts, in its own chart. */
  | { readonly source: 'compared'; readonly number: NumberKind; readonly drawn: Curve }
  /** The same of the validation set: the field `of` among the scores of an eval line. */
  | {
      readonly source: 'compared_eval';
      readonly of: string;
      readonly number: NumberKind;
      readonly drawn: Curve;
    };

const compared = (chart: ChartId, color: ChartColor) =>
  ({ source: 'compared', number: 'value', drawn: { chart, color, line: 'single' } }) as const;
const comparedEval = <Of extends string>(of: Of, chart: ChartId, color: ChartColor) =>
  ({
    source: 'compared_eval',
    of,
    number: 'value',
    drawn: { chart, color, line: 'evaluated' },
  }) as const;

/**
 * Every metric of a run: columns, charts, key numbers, CSV heads and tables derive from this table.
 * A new metric is a new row; the type checker then names the texts and the writer that it needs.
 *
 * The order of rows is that of CSV columns, and within a chart that of its lines. Losses are in
 * nats per labelled token.
 */
export const METRICS = {
  step: { source: 'step', number: 'count', curve: null },
  /** Fraction of epochs done. */
  epoch: { source: 'step', number: 'value', curve: null },
  /** Mean over the labels of this step. */
  loss: {
    source: 'step',
    number: 'value',
    curve: { chart: 'loss', color: 'blue', line: 'noisy' },
  },
  /** Total L2 norm of the gradients, before clipping. */
  grad_norm: {
    source: 'step',
    number: 'value',
    curve: { chart: 'grad_norm', color: 'green', line: 'single' },
  },
  /** The rate that this step used. */
  learning_rate: {
    source: 'step',
    number: 'rate',
    curve: { chart: 'learning_rate', color: 'red', line: 'single' },
  },
  /** Tokens of this step, without padding. */
  tokens: { source: 'step', number: 'count', curve: null },
  /** Tokens of this step that carry a label. */
  labelled_tokens: { source: 'step', number: 'count', curve: null },
  tokens_per_second: {
    source: 'step',
    number: 'speed',
    curve: { chart: 'tokens_per_second', color: 'blue', line: 'single' },
  },
  /** Resident memory of the engine in bytes. */
  memory: {
    source: 'step',
    number: 'bytes',
    curve: { chart: 'memory', color: 'purple', line: 'single' },
  },
  /** Seconds of training so far, without pauses. */
  elapsed: { source: 'step', number: 'duration', curve: null },

  smoothed: {
    source: 'smoothing',
    number: 'value',
    curve: { chart: 'loss', color: 'blue', line: 'smoothed' },
  },
  validation: {
    source: 'eval',
    number: 'value',
    curve: { chart: 'loss', color: 'red', line: 'evaluated' },
  },

  /** exp(loss) */
  perplexity: { source: 'score', number: 'value', max: null, lower: true },
  /** Shares of answers to rows with tools: all right, or one thing about their calls. */
  calls_right: { source: 'score', number: 'value', max: 1 },
  calls_parsed: { source: 'score', number: 'value', max: 1 },
  calls_named: { source: 'score', number: 'value', max: 1 },
  calls_arguments: { source: 'score', number: 'value', max: 1 },
  accuracy: { source: 'score', number: 'value', max: 1 },
  f1: { source: 'score', number: 'value', max: 1 },
  /** In the unit of the labels. */
  rmse: { source: 'score', number: 'value', max: null, lower: true },
  /** -1 to 1 */
  pearson: { source: 'score', number: 'value', max: 1 },
  /** -1 to 1 */
  cosine: { source: 'score', number: 'value', max: 1 },
  /** Fraction of texts whose nearest neighbor is their own partner. */
  retrieval: { source: 'score', number: 'value', max: 1 },
  /** -1 to 1; of cosines and scores, by their ranks. */
  spearman: { source: 'score', number: 'value', max: 1 },
  /** Of the partner of a text, among up to 256 rows (InformationRetrievalEvaluator). */
  ndcg_at_10: { source: 'score', number: 'value', max: 1 },
  mrr_at_10: { source: 'score', number: 'value', max: 1 },
  recall_at_10: { source: 'score', number: 'value', max: 1 },
  /** Loss on general text and chat; in a chart of its own, with that of the validation set. */
  general_loss: { source: 'score', number: 'value', max: null, lower: true, isGeneral: true },

  /** Mean reward of the chosen or desirable answers, as TRL defines it. */
  rewards_chosen: compared('rewards', 'green'),
  validation_rewards_chosen: comparedEval('rewards_chosen', 'rewards', 'green'),
  rewards_rejected: compared('rewards', 'red'),
  validation_rewards_rejected: comparedEval('rewards_rejected', 'rewards', 'red'),
  /** The difference of the two. */
  reward_margin: compared('reward_margin', 'blue'),
  validation_reward_margin: comparedEval('reward_margin', 'reward_margin', 'red'),
  /** Share of pairs whose chosen answer has the higher reward. */
  reward_accuracy: compared('reward_accuracy', 'blue'),
  validation_reward_accuracy: comparedEval('reward_accuracy', 'reward_accuracy', 'red'),
  /** Mean log-probability of the chosen or desirable answers, in nats. */
  logps_chosen: compared('logps', 'green'),
  validation_logps_chosen: comparedEval('logps_chosen', 'logps', 'green'),
  logps_rejected: compared('logps', 'red'),
  validation_logps_rejected: comparedEval('logps_rejected', 'logps', 'red'),
  /** Estimate of the KL divergence from the model that training started from, in nats an answer. */
  kl: compared('kl', 'blue'),
  validation_kl: comparedEval('kl', 'kl', 'red'),
  /** Mean KL divergence from the teacher at the temperature, in nats a token. */
  teacher_kl: compared('teacher_kl', 'blue'),
  validation_teacher_kl: comparedEval('teacher_kl', 'teacher_kl', 'red'),
  /**
   * Tokens of the busiest expert of a mixture relative to an even split, mean over the layers: 1 to
   * experts / top_k.
   */
  expert_load: compared('expert_load', 'blue'),
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricId = keyof typeof METRICS;

/** Metrics whose row matches a shape. */
type MetricsWhere<Shape> = {
  [Id in MetricId]: (typeof METRICS)[Id] extends Shape ? Id : never;
}[MetricId];

/** A number of every step line. */
export type StepField = MetricsWhere<{ readonly source: 'step' }>;
/** A score of an eval line. */
export type ScoreName = MetricsWhere<{ readonly source: 'score' }>;
/** A number of the step lines of runs that compare answers or have experts. */
export type ComparedField = MetricsWhere<{ readonly source: 'compared' }>;
/** Its counterpart of the validation set. */
export type ComparedEvalId = MetricsWhere<{ readonly source: 'compared_eval' }>;
/** Metrics with a line in a chart that every run has. */
export type CurveId = MetricsWhere<{ readonly curve: Curve }>;
/** Everything that a chart can draw. */
export type SeriesId = CurveId | ScoreName | ComparedField | ComparedEvalId;
/** Metrics shown as a single number: their newest value. */
export type KeyNumberId = Exclude<CurveId, MetricsWhere<{ readonly source: 'smoothing' }>>;

const METRIC_IDS = Object.keys(METRICS) as readonly MetricId[];

const isStepField = (id: MetricId): id is StepField => METRICS[id].source === 'step';
/** Whether a metric is a score of an eval line. */
export const isScoreName = (id: MetricId): id is ScoreName => METRICS[id].source === 'score';
const hasCurve = (id: MetricId): id is CurveId => curveOf(METRICS[id]) !== null;
const curveOf = (row: MetricRow): Curve | null => ('curve' in row ? row.curve : null);
const isComparedField = (id: MetricId): id is ComparedField => METRICS[id].source === 'compared';
/** Whether a metric is one of the validation set in runs that compare answers. */
export const isComparedEval = (id: MetricId): id is ComparedEvalId =>
  METRICS[id].source === 'compared_eval';

/** Fields of a step line, in the order of the CSV's columns. */
export const STEP_FIELDS = METRIC_IDS.filter(isStepField);
/** The scores of an eval line. */
export const SCORE_NAMES = METRIC_IDS.filter(isScoreName);
/** Those of the validation set. */
export const VALIDATION_SCORES = SCORE_NAMES.filter((id) => !('isGeneral' in METRICS[id]));
/** Numbers of the step lines of runs that compare answers, and of their eval lines. */
export const COMPARED_FIELDS = METRIC_IDS.filter(isComparedField);

/** One of these is in each step line that has such numbers. */
export const COMPARED_MARKS = [
  'rewards_chosen',
  'rewards_rejected',
  'teacher_kl',
  'expert_load',
] as const satisfies readonly ComparedField[];

/** Lines of a chart that only runs have which compare answers; none of other charts. */
export const comparedIn = (chart: ChartId): readonly (ComparedField | ComparedEvalId)[] =>
  METRIC_IDS.filter((id) => isComparedField(id) || isComparedEval(id)).filter(
    (id) => METRICS[id].drawn.chart === chart,
  );

/** Lines of a chart, later ones drawn over earlier ones; none for scores, which differ by run. */
export const curvesIn = (chart: ChartId): readonly CurveId[] =>
  METRIC_IDS.filter(hasCurve).filter((id) => METRICS[id].curve.chart === chart);

/** Metrics with a line, in the order of their charts. */
export const CURVE_IDS: readonly CurveId[] = CHART_IDS.flatMap(curvesIn);

/** The metrics that pages show as single numbers. */
export const KEY_NUMBER_IDS = CURVE_IDS.filter(
  (id): id is KeyNumberId => METRICS[id].source !== 'smoothing',
);
