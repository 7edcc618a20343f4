import type { EvaluationResult } from '../run';
import { cellText, rowTexts } from './rows';
import { EVALUATION_METRIC_IDS } from '../../../shared/evaluation/metrics';

const HEAD = ['file', 'line', 'suite', 'kind', 'question', 'expected', 'column', 'answer', 'calls'];

/** All answers as CSV, one line for each row and column. */
export function csvReport({ evaluation, rows }: EvaluationResult): string {
  const used = EVALUATION_METRIC_IDS.filter((id) =>
    rows.some(({ cells }) => cells.some(({ scores }) => scores[id] !== undefined)),
  );
  const lines = rows.flatMap((row) =>
    row.cells.map((cell, i) => {
      const { question, expected, kind } = rowTexts(row);
      const { loss } = cell;
      return [
        ...[row.file, row.line, row.suite, kind, question, expected],
        ...[evaluation.columns[i]!.name, cell.answer, cell.calls],
        ...used.map((id) => cell.scores[id] ?? ''),
        loss ? loss.sum / loss.tokens : '',
        cell.error === null ? '' : cellText(cell),
      ];
    }),
  );
  return [[...HEAD, ...used, 'loss', 'error'], ...lines]
    .map((line) => `${line.map(field).join(',')}\r\n`)
    .join('');
}

/** A table program takes a text with such a start for a formula: an answer could be one. */
function field(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
