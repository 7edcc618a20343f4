import {
  EVALUATION_METRICS,
  metricsOf,
  type EvaluationMetricId,
} from '../../shared/evaluation/metrics';
import type { EvaluatedCell, EvaluatedRow } from '../../shared/evaluation/result';
import { checkedText, listOf } from './checkAnswer';
import { bleuOf, bleuStatistics } from './metrics/bleu';
import { chrfOf, chrfStatistics } from './metrics/chrf';

/** A number of several rows, computed from a vector of each. */
export interface Statistic {
  /** Of a row under a column, all of one length; null: it has no score. */
  readonly vectorOf: (row: EvaluatedRow, cell: EvaluatedCell) => readonly number[] | null;
  /** The number of those of the rows that have the indices, which may come several times. */
  readonly of: (vectors: Vectors) => (indices: Int32Array) => number;
  /** Of one row, to say in which column it is better. */
  readonly rowValue: (row: EvaluatedRow, cell: EvaluatedCell) => number;
  readonly lower: boolean;
}

/** The vectors of rows. */
type Vectors = readonly (readonly number[])[];

/** A statistic of the sum of vectors. */
const ofSum =
  (value: (sum: Float64Array) => number): Statistic['of'] =>
  (vectors) => {
    const width = vectors[0]?.length ?? 0;
    const flat = Float64Array.from(vectors.flat());
    const sum = new Float64Array(width);
    return (indices) => {
      sum.fill(0);
      for (const index of indices)
        for (let i = 0; i < width; i++) sum[i] = sum[i]! + flat[index * width + i]!;
      return value(sum);
    };
  };

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

/** A row's contribution to the total score, from 0 to 1; null: none. */
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
    of: ofSum((sum) => sum[0]! / sum[1]!),
    rowValue: (row, cell) => score(row, cell) ?? NaN,
    lower,
  };
}

/** exp of the loss per token, so that long texts count more. */
const PERPLEXITY: Statistic = {
  vectorOf: (_, { loss }) => (loss ? [loss.sum, loss.tokens] : null),
  of: ofSum((sum) => Math.exp(sum[0]! / sum[1]!)),
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
    of: ofSum((sum) => value([...sum])),
    rowValue: (_, cell) => scoreIn(cell, metric) ?? NaN,
    lower: false,
  };
}

/** The mean F1 over the classes that are expected or found; without either, a class has F1 0. */
function macroF1(rows: readonly EvaluatedRow[]): Statistic {
  const labels = new Set(rows.flatMap(labelsIn));
  const classes = new Map([...labels].map((label, i) => [label, i]));
  return {
    vectorOf: ({ row: { check } }, cell) =>
      check.kind === 'label' && scoreIn(cell, 'accuracy') !== null
        ? [classes.get(check.expected)!, classes.get(cell.answer)!]
        : null,
    of: (vectors) => meanF1(vectors, classes.size),
    rowValue: (_, cell) => scoreIn(cell, 'accuracy') ?? NaN,
    lower: false,
  };
}

const labelsIn = ({ row: { check }, cells }: EvaluatedRow): readonly string[] =>
  check.kind === 'label' ? [check.expected, ...cells.map(({ answer }) => answer)] : [];

/** `vectors`: the expected class and the one that was found. */
function meanF1(vectors: Vectors, classes: number): (indices: Int32Array) => number {
  const pairs = Int32Array.from(vectors.flat());
  const [expected, found] = [new Int32Array(classes), new Int32Array(classes)];
  const hits = new Int32Array(classes);
  return (indices) => {
    for (const counts of [expected, found, hits]) counts.fill(0);
    for (const index of indices) {
      const [own, other] = [pairs[2 * index]!, pairs[2 * index + 1]!];
      expected[own]!++;
      found[other]!++;
      if (own === other) hits[own]!++;
    }
    let [total, present] = [0, 0];
    for (let i = 0; i < classes; i++) {
      const both = expected[i]! + found[i]!;
      if (both === 0) continue;
      total += (2 * hits[i]!) / both;
      present++;
    }
    return present === 0 ? NaN : total / present;
  };
}
