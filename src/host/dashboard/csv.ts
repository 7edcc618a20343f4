import { COMPARED_FIELDS, SCORE_NAMES, STEP_FIELDS } from '../../shared/metrics/table';
import type { RunHistory } from '../../shared/runHistory';

/**
 * All numbers of a run as CSV: a row for each step, and one for an evaluation at a step that has no
 * step line (step 0). Values that are not finite are left empty.
 */
export function metricsCsv(history: RunHistory): string {
  const evals = history.lines.filter((line) => line.kind === 'eval');
  const scores = [...SCORE_NAMES, ...COMPARED_FIELDS].filter((name) =>
    evals.some((line) => line.scores?.[name] !== undefined),
  );
  const validation = new Map(
    evals.map((line) => [
      line.step,
      [line.loss, ...scores.map((name) => line.scores?.[name] ?? NaN)],
    ]),
  );
  const noValidation = [NaN, ...scores.map(() => NaN)];
  const fields = [...STEP_FIELDS, ...history.comparedFields];
  const columns = fields.map((field) => history.column(field));
  const rows = Array.from(history.column('step'), (step, i) => ({
    step,
    cells: columns.map((column) => column[i]!),
  }));
  const known = new Set(rows.map(({ step }) => step));
  const evalOnly = [...validation.keys()]
    .filter((step) => !known.has(step))
    .map((step) => ({ step, cells: fields.map((field) => (field === 'step' ? step : NaN)) }));
  const lines = [...rows, ...evalOnly]
    .sort((a, b) => a.step - b.step)
    .map(({ step, cells }) => [...cells, ...(validation.get(step) ?? noValidation)])
    .map((values) => values.map(cell).join(','));
  const scoreNames = scores.map((name) => (isCompared(name) ? `validation_${name}` : name));
  const head = [...fields, 'validation_loss', ...scoreNames].join(',');
  return [head, ...lines, ''].join('\n');
}

const isCompared = (name: string): boolean => (COMPARED_FIELDS as readonly string[]).includes(name);

function cell(value: number): string {
  return Number.isFinite(value) ? String(value) : '';
}
