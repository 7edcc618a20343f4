import type { EvaluatedCell, EvaluatedRow } from '../../../shared/evaluation/result';
import { expectedOf, questionOf } from '../../../shared/evaluation/suite';
import { totalOf } from '../statistics';

/** How a row compares with the first column, over all other columns. */
export type RowOutcome = 'worse' | 'better' | 'equal';

/** Worse where any column is worse than the first. */
export function outcomeOf(row: EvaluatedRow): RowOutcome {
  const first = pointsOf(row, row.cells[0]!);
  const differences = row.cells.slice(1).map((cell) => pointsOf(row, cell) - first);
  if (differences.some((own) => own < 0)) return 'worse';
  return differences.some((own) => own > 0) ? 'better' : 'equal';
}

/** Higher is better, even for losses. */
function pointsOf(row: EvaluatedRow, cell: EvaluatedCell): number {
  const { loss, scores } = cell;
  if (loss) return -loss.sum / loss.tokens;
  return totalOf(row, cell) ?? scores['judge'] ?? NaN;
}

/** The scores of a cell: "exact 1", or its error. */
export function cellText({ scores, error, loss, reason }: EvaluatedCell): string {
  if (error !== null) return error;
  const values = Object.entries(scores).map(
    ([name, value]) => `${name} ${Number(value.toFixed(4))}`,
  );
  const measured = loss ? [`loss ${(loss.sum / loss.tokens).toFixed(4)}`] : [];
  return [...values, ...measured, ...(reason === '' ? [] : [reason])].join('; ');
}

/** The information on a row besides its cells. */
export const rowTexts = ({ row }: EvaluatedRow) => ({
  question: questionOf(row),
  expected: expectedOf(row),
  kind: row.check.kind,
});
