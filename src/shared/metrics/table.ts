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
  score: { fromZero: false },
  learning_rate: { fromZero: true },
  grad_norm: { fromZero: true },
  tokens_per_second: { fromZero: true },
  memory: { fromZero: true },
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
   * `lower`: a lower value is better.
   */
  | {
      readonly source: 'score';
      readonly number: NumberKind;
      readonly max: number | null;
      readonly lower?: true;
    };

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
/** Metrics with a line in a chart that every run has. */
export type CurveId = MetricsWhere<{ readonly curve: Curve }>;
/** Everything that a chart can draw. */
export type SeriesId = CurveId | ScoreName;
/** Metrics shown as a single number: their newest value. */
export type KeyNumberId = Exclude<CurveId, MetricsWhere<{ readonly source: 'smoothing' }>>;

const METRIC_IDS = Object.keys(METRICS) as readonly MetricId[];

const isStepField = (id: MetricId): id is StepField => METRICS[id].source === 'step';
/** Whether a metric is a score of an eval line. */
export const isScoreName = (id: MetricId): id is ScoreName => METRICS[id].source === 'score';
const hasCurve = (id: MetricId): id is CurveId => curveOf(METRICS[id]) !== null;
const curveOf = (row: MetricRow): Curve | null => (row.source === 'score' ? null : row.curve);

/** Fields of a step line, in the order of the CSV's columns. */
export const STEP_FIELDS = METRIC_IDS.filter(isStepField);
/** The scores of an eval line. */
export const SCORE_NAMES = METRIC_IDS.filter(isScoreName);

/** Lines of a chart, later ones drawn over earlier ones; none for scores, which differ by run. */
export const curvesIn = (chart: ChartId): readonly CurveId[] =>
  METRIC_IDS.filter(hasCurve).filter((id) => METRICS[id].curve.chart === chart);

/** Metrics with a line, in the order of their charts. */
export const CURVE_IDS: readonly CurveId[] = CHART_IDS.flatMap(curvesIn);

/** The metrics that pages show as single numbers. */
export const KEY_NUMBER_IDS = CURVE_IDS.filter(
  (id): id is KeyNumberId => METRICS[id].source !== 'smoothing',
);
