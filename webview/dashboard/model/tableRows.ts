import { firstAtLeast, type Range } from '../../shared/charts/decimate';
import type { RunLines } from '../../shared/charts/runLines';
import type { ChartSpec } from './chartSpecs';

/**
 * The rows of a chart's table by their place on the x axis, the newest first, each with one value a
 * line (NaN where a line has none).
 */
export interface TableRows {
  readonly rows: readonly { readonly x: number; readonly values: readonly number[] }[];
  /** How many rows the range holds in all. */
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
