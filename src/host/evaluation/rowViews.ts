import { EVALUATION_METRIC_IDS, metricsOf } from '../../shared/evaluation/metrics';
import { isRegression, isRight, outcomeOf, scoreOf } from '../../shared/evaluation/outcome';
import type { EvaluatedCell, EvaluatedRow } from '../../shared/evaluation/result';
import { contentText, expectedOf, questionOf, type SuiteRow } from '../../shared/evaluation/suite';
import type {
  BriefRow,
  EvaluatedTurn,
  OpenedAnswer,
  OpenedRow,
} from '../../shared/pages/evaluation/protocol';

/** The part of a text that the list shows. */
const BRIEF = 160;
const brief = (text: string): string =>
  (text.length > BRIEF ? `${text.slice(0, BRIEF)}…` : text).replace(/\s+/g, ' ').trim();

/** A row as the list of the page shows it. */
export const briefOf = (row: EvaluatedRow): BriefRow => ({
  index: row.index,
  suite: row.suite,
  line: row.line,
  question: brief(questionOf(row.row)),
  cells: row.cells.map((cell, column) => ({
    text: brief(cell.error ?? answerText(cell)),
    metric: metricsOf(row.row.check.kind)[0]!,
    score: scoreOf(row, cell),
    isError: cell.error !== null,
    outcome: outcomeOf(row, column),
    isRegression: isRegression(row, column),
  })),
});

/** A row in full. */
export const openedOf = (row: EvaluatedRow): OpenedRow => ({
  index: row.index,
  suite: row.suite,
  file: row.file,
  line: row.line,
  kind: row.row.check.kind,
  turns: [...turnsOf(row.row)],
  expected: expectedOf(row.row),
  answers: row.cells.map((cell, column) => ({
    text: cell.answer,
    calls: cell.calls,
    error: cell.error,
    reason: cell.reason,
    scores: scoresOf(row, cell),
    outcome: outcomeOf(row, column),
    isRight: isRight(row, cell),
  })),
});

/** The scores of a cell, the one that is shown in the list first. */
function scoresOf(row: EvaluatedRow, cell: EvaluatedCell): OpenedAnswer['scores'] {
  const [first] = metricsOf(row.row.check.kind);
  const shown = scoreOf(row, cell);
  const others = EVALUATION_METRIC_IDS.flatMap((metric) => {
    const value = metric === first ? undefined : cell.scores[metric];
    return value === undefined ? [] : [{ metric, value }];
  });
  return first === undefined || shown === null
    ? others
    : [{ metric: first, value: shown }, ...others];
}

/** The question, as a conversation. */
export function turnsOf(row: SuiteRow): readonly EvaluatedTurn[] {
  if (row.messages)
    return row.messages.map(({ role, content, ...others }) => ({
      role,
      text: contentText(content) ?? JSON.stringify(others),
    }));
  const texts: readonly (readonly [string, string | undefined])[] = [
    ['system', row.system],
    [row.prompt === undefined || row.plain ? 'text' : 'user', row.prompt ?? row.text],
    ['text', row.text_pair],
  ];
  return texts.flatMap(([role, text]) =>
    text === undefined || text === '' ? [] : [{ role, text }],
  );
}

/** An answer with the tools that it calls. */
export const answerText = ({ answer, calls }: EvaluatedCell): string =>
  [answer, calls].filter(Boolean).join('\n');

/** The rows that contain a text, in upper or lower case. */
export function rowsWith(rows: readonly EvaluatedRow[], text: string): number[] {
  const wanted = text.toLowerCase();
  return rows.filter((row) => textOf(row).toLowerCase().includes(wanted)).map(({ index }) => index);
}

const textOf = (row: EvaluatedRow): string =>
  [
    ...turnsOf(row.row).map(({ text }) => text),
    expectedOf(row.row),
    ...row.cells.flatMap((cell) => [answerText(cell), cell.error ?? '']),
  ].join('\n');
