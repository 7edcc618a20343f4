import { isDeepStrictEqual } from 'node:util';
import { LoraError } from '../../shared/errors';
import { BOOTSTRAP } from '../../shared/evaluation/bootstrap';
import { judgeAgreement } from '../../shared/evaluation/judge';
import type { EvaluatedRow, EvaluationColumn } from '../../shared/evaluation/result';
import { renamed } from './columns';
import type { ReadEvaluation } from './folder';
import type { EvaluationResult } from './run';
import { scoresOf } from './scores';

/**
 * Earlier evaluations as one: the rows that all of them have, under all their columns. A column
 * that they share, with the same answers, is kept once.
 *
 * @throws LoraError('usage') where they have no row in common
 */
export function joined(parts: readonly ReadEvaluation[]): EvaluationResult {
  const [first, ...others] = parts;
  if (others.length === 0) return withVotes(first!);
  const keyOf = ({ suite, row }: EvaluatedRow) => JSON.stringify([suite, row]);
  const found = others.map(({ rows }) => new Map(rows.map((row) => [keyOf(row), row])));
  const common = first!.rows.flatMap((row) => {
    const own = found.map((rows) => rows.get(keyOf(row)));
    const cells = own.flatMap((other) => (other ? [other.cells] : []));
    return cells.length < found.length ? [] : [{ ...row, cells: [row.cells, ...cells].flat() }];
  });
  if (common.length === 0)
    throw new LoraError('usage', 'The evaluations have no row in common.', {
      fix: 'Compare evaluations of the same suite.',
    });
  const all = parts.flatMap(({ evaluation }) => evaluation.columns);
  const kept = [...all.keys()].filter((i) => !isRepeated(i, all, common));
  // a judge has compared each answer with the first column of its own evaluation
  const rows = common.map((row, index) => ({
    ...row,
    index,
    cells: kept.map((i) => row.cells[i]!),
  }));
  const columns = renamed(kept.map((i) => all[i]!));
  return {
    rows,
    evaluation: {
      ...first!.evaluation,
      suites: [...new Set(parts.flatMap(({ evaluation }) => evaluation.suites))],
      columns: [...columns],
      rows: rows.length,
      judge: null,
      scores: [...scoresOf(rows, columns.length, BOOTSTRAP)],
    },
  };
}

function withVotes({ evaluation, rows, votes }: ReadEvaluation): EvaluationResult {
  const { judge, columns } = evaluation;
  if (!judge) return { evaluation, rows };
  const agreement = judgeAgreement(rows, columns, votes);
  return { evaluation: { ...evaluation, judge: { ...judge, agreement } }, rows };
}

/** Whether an earlier column is the same, and has given the same answers. */
function isRepeated(
  i: number,
  columns: readonly EvaluationColumn[],
  rows: readonly EvaluatedRow[],
): boolean {
  const withoutName = (own: EvaluationColumn) => ({ ...own, name: '' });
  return columns
    .slice(0, i)
    .some(
      (other, j) =>
        isDeepStrictEqual(withoutName(other), withoutName(columns[i]!)) &&
        rows.every(
          ({ cells }) =>
            cells[i]!.answer === cells[j]!.answer &&
            isDeepStrictEqual(cells[i]!.scores, cells[j]!.scores),
        ),
    );
}
