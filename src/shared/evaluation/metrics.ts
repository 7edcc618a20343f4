/** How an answer is checked: the "kind" of a row's check. */
export const CHECK_KINDS = [
  'exact',
  'contains',
  'regex',
  'json_schema',
  'numeric',
  'tool_calls',
  'rouge_l',
  'chrf',
  'bleu',
  'perplexity',
  'choice',
  'label',
  'judge',
] as const;
export type CheckKind = (typeof CHECK_KINDS)[number];

interface EvaluationMetric {
  /** The checks that it is computed from. */
  readonly kind: CheckKind;
  /** Whether a lower value is better. */
  readonly lower: boolean;
  /** Upper bound; null: none. All lower bounds are 0, of perplexity 1. */
  readonly max: number | null;
  /**
   * Whether it counts in the total score: the mean of such values over all rows. A row counts once,
   * by the first metric of its kind.
   */
  readonly total: boolean;
}

/**
 * The numbers of an evaluation. A new one is a new row here, its statistics in
 * `src/engine/evaluation/statistics.ts` and its name in the strings of the page.
 */
export const EVALUATION_METRICS = {
  /** Shares of right answers. */
  exact: { kind: 'exact', lower: false, max: 1, total: true },
  contains: { kind: 'contains', lower: false, max: 1, total: true },
  regex: { kind: 'regex', lower: false, max: 1, total: true },
  json_schema: { kind: 'json_schema', lower: false, max: 1, total: true },
  numeric: { kind: 'numeric', lower: false, max: 1, total: true },
  tool_calls: { kind: 'tool_calls', lower: false, max: 1, total: true },
  /** Mean F-measure of the longest common subsequence of words. */
  rouge_l: { kind: 'rouge_l', lower: false, max: 1, total: true },
  /** Of all rows together, from 0 to 100, as sacrebleu writes it. */
  chrf: { kind: 'chrf', lower: false, max: 100, total: true },
  bleu: { kind: 'bleu', lower: false, max: 100, total: true },
  /** exp of the mean loss per token. */
  perplexity: { kind: 'perplexity', lower: true, max: null, total: false },
  /** Share of rows whose right choice is the most likely one; `_norm`: per byte of its text. */
  choice: { kind: 'choice', lower: false, max: 1, total: true },
  choice_norm: { kind: 'choice', lower: false, max: 1, total: false },
  accuracy: { kind: 'label', lower: false, max: 1, total: true },
  /** Macro average: the mean of the F1 of each class. */
  f1: { kind: 'label', lower: false, max: 1, total: false },
  /** Share of rows that are better than the first column's; a tie is half a win. */
  judge: { kind: 'judge', lower: false, max: 1, total: false },
} as const satisfies Readonly<Record<string, EvaluationMetric>>;

export type EvaluationMetricId = keyof typeof EVALUATION_METRICS;

export const EVALUATION_METRIC_IDS = Object.keys(
  EVALUATION_METRICS,
) as readonly EvaluationMetricId[];

/** The numbers that a kind of check gives. */
export const metricsOf = (kind: CheckKind): readonly EvaluationMetricId[] =>
  EVALUATION_METRIC_IDS.filter((id) => EVALUATION_METRICS[id].kind === kind);

/** Checks that need the probabilities of tokens, which endpoints do not give. */
export const needsProbabilities = (kind: CheckKind): boolean =>
  kind === 'perplexity' || kind === 'choice';
