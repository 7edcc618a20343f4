import { markdownText } from '../../../shared/plainText';
import type { EvaluationResult } from '../run';
import { cellText, outcomeOf, rowTexts } from './rows';
import { columnText, differenceText, judgeText, scoreName, settingsText } from './words';

const MOST_ROWS = 50;
const MOST_CHARACTERS = 300;

/** Scores and differences as Markdown, with the rows that are worse than in the first column. */
export function markdownReport({ evaluation, rows }: EvaluationResult): string {
  const { columns, scores, judge } = evaluation;
  const names = columns.map(({ name }) => markdownText(name));
  const lines = scores
    .filter(({ columns: own }) => own.some(({ value, errors }) => value !== null || errors > 0))
    .map((score) =>
      tableLine([
        markdownText(scoreName(score)),
        ...score.columns.map((own) => columnText(own, score.metric)),
      ]),
    );
  const differences = scores.flatMap((score) =>
    score.differences
      .filter(({ wins, losses, ties }) => wins + losses + ties > 0)
      .map(
        (own) =>
          `- ${markdownText(scoreName(score))}, ${names[own.column]!}: ` +
          differenceText(own, score.metric),
      ),
  );
  const worse = rows.filter((row) => outcomeOf(row) === 'worse');
  return [
    '# Evaluation',
    settingsText(evaluation),
    ...(judge ? [markdownText(judgeText(judge))] : []),
    [tableLine(['', ...names]), tableLine(['---', ...names.map(() => '---')]), ...lines].join('\n'),
    ...(differences.length > 0 ? [`## Against ${names[0]!}`, differences.join('\n')] : []),
    ...(worse.length > 0 ? [`## Rows that are worse: ${worse.length}`] : []),
    ...worse.slice(0, MOST_ROWS).map((row) => rowText(row, names)),
    ...(worse.length > MOST_ROWS
      ? [`${worse.length - MOST_ROWS} more are in the other reports.`]
      : []),
  ]
    .join('\n\n')
    .concat('\n');
}

const tableLine = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

const short = (text: string): string =>
  markdownText(text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text);

function rowText(row: EvaluationResult['rows'][number], names: readonly string[]): string {
  const { question, expected } = rowTexts(row);
  return [
    `- ${short(row.suite)}, line ${row.line}: ${short(question)}`,
    ...(expected === '' ? [] : [`  - expected: ${short(expected)}`]),
    ...row.cells.map(
      (cell, i) => `  - ${names[i]!}: ${short(cell.answer)} (${short(cellText(cell))})`,
    ),
  ].join('\n');
}
