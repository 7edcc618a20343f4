import { visibleControls } from '../../../shared/plainText';
import type { EvaluatedRow, EvaluationScore } from '../../../shared/evaluation/result';
import type { EvaluationResult } from '../run';
import { intervalChart } from './chart';
import { html, joinHtml, type Html } from './markup';
import { cellText, outcomeOf, rowTexts, type RowOutcome } from './rows';
import { columnText, differenceText, judgeText, scoreName, settingsText } from './words';

/** More rows would make the file too long for a browser: the others are in rows.jsonl. */
const MOST_ROWS = 2000;

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.chart { overflow-x: auto; }
.chart text { fill: currentColor; font-size: 12px; }
summary { cursor: pointer; padding: .2rem 0; overflow-wrap: anywhere; }
.better { color: light-dark(#116329, #56d364); }
.worse { color: light-dark(#a40e26, #ff7b72); }
`;

const GROUPS: readonly (readonly [RowOutcome, string])[] = [
  ['worse', 'Worse than the first column'],
  ['better', 'Better than the first column'],
  ['equal', 'Equal'],
];

/**
 * One page that needs nothing else: no script at all, pictures as SVG. Texts of models, suites and
 * files are escaped.
 */
export function htmlReport(result: EvaluationResult): string {
  const { evaluation, rows } = result;
  const names = evaluation.columns.map(({ name }) => name);
  const body = joinHtml([
    html`<h1>Evaluation</h1>
      <p>${evaluation.created.slice(0, 16).replace('T', ' ')} UTC. ${settingsText(evaluation)}</p>`,
    evaluation.judge ? html`<p>${judgeText(evaluation.judge)}</p>` : html``,
    scoresTable(result, names),
    html`<h2>Scores with their intervals</h2>`,
    ...evaluation.scores.filter(hasValue).map((score) => intervalChart(score, names)),
    ...differencesPart(evaluation.scores, names),
    ...GROUPS.map(([outcome, title]) => rowsPart(rows, { outcome, title, names })),
    rows.length > MOST_ROWS
      ? html`<p>Only the first ${MOST_ROWS} of ${rows.length} rows are shown.</p>`
      : html``,
  ]);
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        />
        <meta name="viewport" content="width=device-width" />
        <title>Evaluation</title>
        <style>
          ${joinHtml([{ html: STYLE }])}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `.html;
}

const hasValue = ({ columns }: EvaluationScore): boolean =>
  columns.some(({ value, errors }) => value !== null || errors > 0);

function scoresTable({ evaluation }: EvaluationResult, names: readonly string[]): Html {
  return html`<table>
    <tr>
      <th scope="col">Score</th>
      ${joinHtml(names.map((name) => html`<th scope="col">${shown(name)}</th>`))}
    </tr>
    ${joinHtml(
      evaluation.scores.filter(hasValue).map(
        (score) =>
          html`<tr>
            <th scope="row">${shown(scoreName(score))}</th>
            ${joinHtml(score.columns.map((own) => html`<td>${columnText(own, score.metric)}</td>`))}
          </tr>`,
      ),
    )}
  </table>`;
}

function differencesPart(scores: readonly EvaluationScore[], names: readonly string[]): Html[] {
  const lines = scores.flatMap((score) =>
    score.differences
      .filter(({ wins, losses, ties }) => wins + losses + ties > 0)
      .map(
        (own) =>
          html`<li>
            ${shown(scoreName(score))}, ${shown(names[own.column]!)}:
            <span class="${own.verdict}">${differenceText(own, score.metric)}</span>
          </li>`,
      ),
  );
  if (lines.length === 0) return [];
  return [
    html`<h2>Against ${shown(names[0]!)}</h2>
      <ul>
        ${joinHtml(lines)}
      </ul>`,
  ];
}

interface RowsPart {
  readonly outcome: RowOutcome;
  readonly title: string;
  readonly names: readonly string[];
}

function rowsPart(rows: readonly EvaluatedRow[], { outcome, title, names }: RowsPart): Html {
  const own = rows.slice(0, MOST_ROWS).filter((row) => outcomeOf(row) === outcome);
  if (own.length === 0) return html``;
  const heading = names.length < 2 ? 'Answers' : title;
  return html`<h2 class="${outcome}">${heading}: ${own.length}</h2>
    ${joinHtml(own.map((row) => rowPart(row, names)))}`;
}

function rowPart(row: EvaluatedRow, names: readonly string[]): Html {
  const { question, expected, kind } = rowTexts(row);
  return html`<details>
    <summary>${shown(row.suite)} ${row.line}: ${shown(question.slice(0, 120))}</summary>
    <table>
      <tr>
        <th scope="row">Question</th>
        <td class="text">${shown(question)}</td>
        <td>${kind}</td>
      </tr>
      ${
        expected === ''
          ? html``
          : html`<tr>
              <th scope="row">Expected</th>
              <td class="text">${shown(expected)}</td>
              <td></td>
            </tr>`
      }
      ${joinHtml(
        row.cells.map(
          (cell, i) =>
            html`<tr>
              <th scope="row">${shown(names[i]!)}</th>
              <td class="text">${shown([cell.answer, cell.calls].filter(Boolean).join('\n'))}</td>
              <td>${shown(cellText(cell))}</td>
            </tr>`,
        ),
      )}
    </table>
  </details>`;
}

/** An untrusted text: what cannot be seen is written as an escape. */
const shown = (text: string): string => visibleControls(text);
