import { firstAtLeast, type Range } from '../../shared/charts/decimate';
import type { RunLines } from '../../shared/charts/runLines';
import type { ChartSpec } from './chartSpecs';

/**
 * The rows of a chart's table by x, newest first, each with one value per curve (NaN if a curve has
 * none there).
 */
export interface TableRows {
  readonly rows: readonly { readonly x: number; readonly values: readonly number[] }[];
  /** Number of rows in the range. */
  readonly total: number;
}

export function tableRows(
  lines: RunLines,
  spec: ChartSpec,
  range: Range,
  limit: number,
): TableRows {
  const columns = spec.series.map((series) => lines.of(series.id));
  const starts = columns.map(({ xs }) => firstAtLeast(xs, range.from));
  const cursors = columns.map(
    ({ xs }) => firstAtLeast(xs, range.to + Number.EPSILON * Math.max(1, range.to)) - 1,
  );
  const rows: { x: number; values: number[] }[] = [];
  let total = 0;
  for (;;) {
    let x = -Infinity;
    columns.forEach(({ xs }, i) => {
      if (cursors[i]! >= starts[i]!) x = Math.max(x, xs[cursors[i]!]!);
    });
    if (x === -Infinity) return { rows, total };
    const values = columns.map(({ xs, ys }, i) =>
      cursors[i]! >= starts[i]! && xs[cursors[i]!] === x ? ys[cursors[i]!--]! : NaN,
    );
    if (total++ < limit) rows.push({ x, values });
  }
}
