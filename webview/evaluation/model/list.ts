import type {
  BriefCell,
  BriefRow,
  EvaluationFilter,
  EvaluationPageState,
} from '../../../src/shared/pages/evaluation/protocol';

/** Whether a cell is what a filter asks for. */
function fits(filter: EvaluationFilter, { outcome, isRegression, isError }: BriefCell): boolean {
  switch (filter) {
    case 'all':
      return true;
    case 'wins':
      return outcome === 'win';
    case 'losses':
      return outcome === 'loss';
    case 'regressions':
      return isRegression;
    case 'errors':
      return isError;
  }
}

/** The cells that a filter looks at: those of one column, or of all. */
const cellsOf = ({ cells }: BriefRow, column: number | null): readonly BriefCell[] =>
  column === null ? cells : cells.slice(column, column + 1);

type Wanted = Pick<EvaluationPageState, 'filter' | 'suite' | 'column'>;

/** The rows that fit the filters. `found`: those that fit the search; null: all do. */
export const listedRows = (
  rows: readonly BriefRow[],
  { filter, suite, column }: Wanted,
  found: ReadonlySet<number> | null,
): readonly BriefRow[] =>
  rows.filter(
    (row) =>
      (suite === null || row.suite === suite) &&
      (found?.has(row.index) ?? true) &&
      (filter === 'all' || cellsOf(row, column).some((cell) => fits(filter, cell))),
  );

/** How many rows of a suite and column each filter has, without the search. */
export const countRows = (
  rows: readonly BriefRow[],
  filter: EvaluationFilter,
  { suite, column }: Omit<Wanted, 'filter'>,
): number => listedRows(rows, { filter, suite, column }, null).length;

/** The suites of the rows, in their order. */
export const suitesOf = (rows: readonly BriefRow[]): readonly string[] => [
  ...new Set(rows.map(({ suite }) => suite)),
];
