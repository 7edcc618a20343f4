import {
  EVALUATION_METRICS,
  metricsOf,
  type EvaluationMetricId,
} from '../../shared/evaluation/metrics';
import type { EvaluatedCell, EvaluatedRow } from '../../shared/evaluation/result';
import { checkedText, listOf } from './checkAnswer';
import { bleuOf, bleuStatistics } from './metrics/bleu';
import { chrfOf, chrfStatistics } from './metrics/chrf';

/** A number of several rows, computed from vectors of the rows that are added. */
export interface Statistic {
  /** Of a row under a column, all of one length; null: it has no score. */
  readonly vectorOf: (row: EvaluatedRow, cell: EvaluatedCell) => readonly number[] | null;
  readonly value: (sum: Float64Array) => number;
  /** Of one row, to say in which column it is better. */
  readonly rowValue: (row: EvaluatedRow, cell: EvaluatedCell) => number;
  readonly lower: boolean;
}

/** The statistic of a metric; null: of the total score. */
export function statisticOf(
  metric: EvaluationMetricId | null,
  rows: readonly EvaluatedRow[],
): Statistic {
  switch (metric) {
    case null:
      return meanOf(totalOf, false);
    case 'perplexity':
      return PERPLEXITY;
    case 'bleu':
      return ofTexts('bleu', bleuStatistics, (sum) => bleuOf(sum));
    case 'chrf':
      return ofTexts('chrf', chrfStatistics, chrfOf);
    case 'f1':
      return macroF1(rows);
    default:
      return meanOf((_, cell) => scoreIn(cell, metric), EVALUATION_METRICS[metric].lower);
  }
}

/** What a row counts in the total score, from 0 to 1; null: nothing. */
export function totalOf({ row }: EvaluatedRow, cell: EvaluatedCell): number | null {
  const metric = metricsOf(row.check.kind).find((id) => EVALUATION_METRICS[id].total);
  if (metric === undefined) return null;
  const score = scoreIn(cell, metric);
  return score === null ? null : score / (EVALUATION_METRICS[metric].max ?? 1);
}

const scoreIn = ({ scores }: EvaluatedCell, metric: EvaluationMetricId): number | null =>
  scores[metric] ?? null;

function meanOf(
  score: (row: EvaluatedRow, cell: EvaluatedCell) => number | null,
  lower: boolean,
): Statistic {
  return {
    vectorOf: (row, cell) => {
      const value = score(row, cell);
      return value === null ? null : [value, 1];
    },
    value: (sum) => sum[0]! / sum[1]!,
    rowValue: (row, cell) => score(row, cell) ?? NaN,
    lower,
  };
}

/** exp of the loss per token, so that long texts count more. */
const PERPLEXITY: Statistic = {
  vectorOf: (_, { loss }) => (loss ? [loss.sum, loss.tokens] : null),
  value: (sum) => Math.exp(sum[0]! / sum[1]!),
  rowValue: (_, { loss }) => (loss ? loss.sum / loss.tokens : NaN),
  lower: true,
};

/** BLEU and chrF count n-grams over all rows. */
function ofTexts(
  metric: 'bleu' | 'chrf',
  count: (answer: string, references: readonly string[]) => readonly number[],
  value: (sum: readonly number[]) => number,
): Statistic {
  return {
    vectorOf: ({ row: { check } }, cell) =>
      check.kind === metric && scoreIn(cell, metric) !== null
        ? count(checkedText(cell.answer), listOf(check.expected))
        : null,
    value: (sum) => value([...sum]),
    rowValue: (_, cell) => scoreIn(cell, metric) ?? NaN,
    lower: false,
  };
}

/** The mean F1 over the classes that are expected or found; without either, a class has F1 0. */
function macroF1(rows: readonly EvaluatedRow[]): Statistic {
  const classes = [...new Set(rows.flatMap(labelsIn))];
  const width = 3;
  return {
    vectorOf: ({ row: { check } }, cell) => {
      if (check.kind !== 'label' || scoreIn(cell, 'accuracy') === null) return null;
      const vector = new Array<number>(width * classes.length).fill(0);
      const isRight = cell.answer === check.expected;
      const add = (label: string, at: number) => (vector[width * classes.indexOf(label) + at] = 1);
      if (isRight) add(check.expected, 0);
      else {
        add(cell.answer, 1);
        add(check.expected, 2);
      }
      return vector;
    },
    value: (sum) => meanF1(sum, width),
    rowValue: (_, cell) => scoreIn(cell, 'accuracy') ?? NaN,
    lower: false,
  };
}

const labelsIn = ({ row: { check }, cells }: EvaluatedRow): readonly string[] =>
  check.kind === 'label' ? [check.expected, ...cells.map(({ answer }) => answer)] : [];

/** `sum`: true positives, false positives and false negatives of each class. */
function meanF1(sum: Float64Array, width: number): number {
  let [total, present] = [0, 0];
  for (let i = 0; i < sum.length; i += width) {
    const [hits = 0, extra = 0, missed = 0] = sum.subarray(i, i + width);
    if (hits + extra + missed === 0) continue;
    total += (2 * hits) / (2 * hits + extra + missed);
    present++;
  }
  return present === 0 ? NaN : total / present;
}
