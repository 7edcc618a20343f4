import { EVALUATION_METRICS, type EvaluationMetricId } from '../../../shared/evaluation/metrics';
import type {
  ColumnValue,
  Difference,
  Evaluation,
  EvaluationScore,
  Interval,
  JudgeReport,
} from '../../../shared/evaluation/result';
import { verdictWords } from '../../../shared/evaluation/verdict';
import { countOf } from '../../../shared/values';

/** The names of metrics in reports. */
const NAMES: Readonly<Record<EvaluationMetricId, string>> = {
  exact: 'exact answers',
  contains: 'answers with the texts',
  regex: 'answers that match',
  json_schema: 'valid JSON',
  numeric: 'right numbers',
  tool_calls: 'right tool calls',
  rouge_l: 'ROUGE-L',
  chrf: 'chrF',
  bleu: 'BLEU',
  perplexity: 'perplexity',
  choice: 'right choices',
  choice_norm: 'right choices per byte',
  accuracy: 'accuracy',
  f1: 'macro F1',
  judge: 'preferred by the judge',
};

/** "git: right numbers", or "total score". */
export const scoreName = ({ suite, metric }: EvaluationScore): string =>
  suite === null || metric === null ? 'total score' : `${suite}: ${NAMES[metric]}`;

/** Shares as percentages, other metrics by themselves. */
export function valueText(value: number, metric: EvaluationMetricId | null): string {
  const isShare = metric === null || EVALUATION_METRICS[metric].max === 1;
  return isShare ? `${(100 * value).toFixed(1)}%` : value.toFixed(2);
}

const intervalText = ({ low, high }: Interval, metric: EvaluationMetricId | null): string =>
  `${valueText(low, metric)} to ${valueText(high, metric)}`;

/** "61.0% (51.5% to 70.1%)" */
export function columnText(
  { value, interval, errors }: ColumnValue,
  metric: EvaluationMetricId | null,
): string {
  if (value === null) return errors > 0 ? countOf(errors, 'error') : '–';
  const range = interval ? ` (${intervalText(interval, metric)})` : '';
  return `${valueText(value, metric)}${range}${errors > 0 ? `, ${countOf(errors, 'error')}` : ''}`;
}

/** "+4.0% (-1.0% to +9.2%): not enough rows to tell; 12 better, 8 worse, 80 equal" */
export function differenceText(own: Difference, metric: EvaluationMetricId | null): string {
  const signed = (value: number) => `${value >= 0 ? '+' : ''}${valueText(value, metric)}`;
  const { difference, interval, verdict, wins, losses, ties } = own;
  const range = interval ? ` (${signed(interval.low)} to ${signed(interval.high)})` : '';
  const rows = `${wins} better, ${losses} worse, ${ties} equal`;
  return `${signed(difference)}${range}: ${verdictWords(verdict)}; ${rows}`;
}

/** How answers were written, and what intervals mean, as sentences. */
export function settingsText({ rows, settings }: Evaluation): string {
  const { temperature, seed, max_new_tokens, confidence, resamples } = settings;
  const sampling =
    temperature === 0 ? 'the most likely tokens' : `temperature ${temperature}, seed ${seed}`;
  return (
    `${countOf(rows, 'row')}; ${sampling}, up to ${countOf(max_new_tokens, 'token')}. ` +
    `Intervals: ${100 * confidence}%, by ${resamples} bootstrap samples of the rows; differences ` +
    'are from the first column, in the same rows.'
  );
}

/** A summary of the judge's verdicts, as sentences. */
export function judgeText({ model, pairs, flipped, nonsense, agreement }: JudgeReport): string {
  const agreed = agreement
    ? ` It agrees with ${agreement.agreed} of ${countOf(agreement.votes, 'vote')} of yours` +
      `${agreement.interval ? ` (${intervalText(agreement.interval, null)})` : ''}.`
    : '';
  return (
    `Judge: ${model}, ${countOf(pairs, 'pair')} in both orders; ${flipped} changed with the order ` +
    `and count as ties, ${countOf(nonsense, 'answer')} of the judge named no winner.${agreed}`
  );
}
