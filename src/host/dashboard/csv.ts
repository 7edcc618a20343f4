import type { RunHistory } from '../../shared/runHistory';
import { SCORE_NAMES } from '../../shared/metrics';
import { STEP_FIELDS } from '../../shared/pages/dashboard/protocol';

/**
 * All numbers of a run as CSV: a row for each step, and one for an evaluation where no step stands
 * (step 0). What is not a number is empty.
 */
export function metricsCsv(history: RunHistory): string {
  const evals = history.lines.filter((line) => line.kind === 'eval');
  const scores = SCORE_NAMES.filter((name) =>
    evals.some((line) => line.scores?.[name] !== undefined),
  );
  const validation = new Map(
    evals.map((line) => [
      line.step,
      [line.loss, ...scores.map((name) => line.scores?.[name] ?? NaN)],
    ]),
  );
  const columns = STEP_FIELDS.map((field) => history.column(field));
  const rows = Array.from(history.column('step'), (step, i) => ({
    step,
    cells: columns.map((column) => column[i]!),
  }));
  const known = new Set(rows.map(({ step }) => step));
  const evalOnly = [...validation.keys()]
    .filter((step) => !known.has(step))
    .map((step) => ({ step, cells: STEP_FIELDS.map((field) => (field === 'step' ? step : NaN)) }));
  const text = [...rows, ...evalOnly]
    .sort((a, b) => a.step - b.step)
    .map(({ step, cells }) =>
      [...cells, ...(validation.get(step) ?? [NaN, ...scores.map(() => NaN)])].map(cell).join(','),
    );
  return [[...STEP_FIELDS, 'validation_loss', ...scores].join(','), ...text, ''].join('\n');
}

function cell(value: number): string {
  return Number.isFinite(value) ? String(value) : '';
}
