import { isDeepStrictEqual } from 'node:util';
import { LoraError } from '../../shared/errors';
import { BOOTSTRAP } from '../../shared/evaluation/bootstrap';
import { judgeAgreement } from '../../shared/evaluation/judge';
import type { EvaluatedCell, EvaluatedRow, EvaluationColumn } from '../../shared/evaluation/result';
import { renamed } from './columns';
import type { ReadEvaluation } from './folder';
import type { EvaluationResult } from './run';
import { scoresOf } from './scores';

/**
 * Earlier evaluations as one: the rows that all of them have, under all their columns. A column
 * that they share, with the same answers, is kept once. What a judge says counts only where it has
 * compared with the first column.
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
  const isUnjudged = judgedAgainstAnother(parts, all, common);
  const rows = common.map((row, index) => ({
    ...row,
    index,
    cells: kept.map((i) => (isUnjudged[i]! ? withoutVerdict(row.cells[i]!) : row.cells[i]!)),
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
const isRepeated = (
  i: number,
  columns: readonly EvaluationColumn[],
  rows: readonly EvaluatedRow[],
): boolean => columns.slice(0, i).some((_, j) => isSame([i, j], columns, rows));

function isSame(
  [i, j]: readonly [number, number],
  columns: readonly EvaluationColumn[],
  rows: readonly EvaluatedRow[],
): boolean {
  const withoutName = (own: EvaluationColumn) => ({ ...own, name: '' });
  return (
    isDeepStrictEqual(withoutName(columns[i]!), withoutName(columns[j]!)) &&
    rows.every(
      ({ cells }) =>
        cells[i]!.answer === cells[j]!.answer &&
        isDeepStrictEqual(cells[i]!.scores, cells[j]!.scores),
    )
  );
}

/**
 * A judge has compared each answer with the first column of its own evaluation. Of each column:
 * whether that is another one than the first of all.
 */
function judgedAgainstAnother(
  parts: readonly ReadEvaluation[],
  columns: readonly EvaluationColumn[],
  rows: readonly EvaluatedRow[],
): readonly boolean[] {
  let first = 0;
  return parts.flatMap(({ evaluation }) => {
    const isOther = first > 0 && !isSame([first, 0], columns, rows);
    first += evaluation.columns.length;
    return evaluation.columns.map(() => isOther);
  });
}

function withoutVerdict(cell: EvaluatedCell): EvaluatedCell {
  const others = Object.entries(cell.scores).filter(([metric]) => metric !== 'judge');
  return { ...cell, scores: Object.fromEntries(others) };
}
