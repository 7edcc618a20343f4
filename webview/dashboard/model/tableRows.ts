import type { ChartSpec, Lines } from './chartSpecs';
import { firstAtLeast, type Range } from './decimate';

/** The rows of a chart's table: its steps, the newest first, each with one value a line (NaN where a line has none). */
export interface TableRows {
  readonly rows: readonly { readonly step: number; readonly values: readonly number[] }[];
  /** How many rows the range holds in all. */
  readonly total: number;
}

export function tableRows(lines: Lines, spec: ChartSpec, range: Range, limit: number): TableRows {
  const columns = spec.series.map((series) => lines.of(series.id));
  const starts = columns.map(({ xs }) => firstAtLeast(xs, range.from));
  const cursors = columns.map(({ xs }) => firstAtLeast(xs, range.to + Number.EPSILON * Math.max(1, range.to)) - 1);
  const rows: { step: number; values: number[] }[] = [];
  let total = 0;
  for (;;) {
    let step = -Infinity;
    columns.forEach(({ xs }, i) => { if (cursors[i]! >= starts[i]!) step = Math.max(step, xs[cursors[i]!]!); });
    if (step === -Infinity) return { rows, total };
    const values = columns.map(({ xs, ys }, i) => (cursors[i]! >= starts[i]! && xs[cursors[i]!] === step ? ys[cursors[i]!--]! : NaN));
    if (total++ < limit) rows.push({ step, values });
  }
}
