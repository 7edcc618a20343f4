import { EVALUATION_METRICS, metricsOf } from './metrics';
import type { EvaluatedCell, EvaluatedRow } from './result';

/** How a column's answer compares with that of the first column. */
export const OUTCOMES = ['win', 'loss', 'tie'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** A judge's score of a column that is as good as the first one. */
const JUDGED_EQUAL = 0.5;

/** The score of a row that is shown: the first of its check. Null: there is none. */
export function scoreOf({ row }: EvaluatedRow, { scores, loss }: EvaluatedCell): number | null {
  const [metric] = metricsOf(row.check.kind);
  const score = metric === undefined ? undefined : scores[metric];
  if (score !== undefined) return score;
  return loss && loss.tokens > 0 ? Math.exp(loss.sum / loss.tokens) : null;
}

/** A column's answer against the first column's. Null: one of them has no score. */
export function outcomeOf(evaluated: EvaluatedRow, column: number): Outcome | null {
  const { kind } = evaluated.row.check;
  const [metric] = metricsOf(kind);
  const [first, other] = [evaluated.cells[0], evaluated.cells[column]];
  if (metric === undefined || !first || !other || column === 0) return null;
  const own = scoreOf(evaluated, other);
  const before = kind === 'judge' ? JUDGED_EQUAL : scoreOf(evaluated, first);
  if (own === null || before === null) return null;
  if (own === before) return 'tie';
  return own > before === EVALUATION_METRICS[metric].lower ? 'loss' : 'win';
}

/** Whether an answer is entirely right; of checks without a best score, never. */
export function isRight(evaluated: EvaluatedRow, cell: EvaluatedCell): boolean {
  const [metric] = metricsOf(evaluated.row.check.kind);
  if (metric === undefined || metric === 'judge') return false;
  const { max } = EVALUATION_METRICS[metric];
  return max !== null && scoreOf(evaluated, cell) === max;
}

/** Whether the first column's answer was right, and this one is not. */
export const isRegression = (evaluated: EvaluatedRow, column: number): boolean =>
  outcomeOf(evaluated, column) === 'loss' && isRight(evaluated, evaluated.cells[0]!);
