import type { Evaluation } from '../../../shared/evaluation/result';
import { columnText, differenceText, judgeText, scoreName, settingsText } from './words';

/** Scores and differences for a terminal. */
export function scoresText(evaluation: Evaluation): string {
  const { columns, scores, judge } = evaluation;
  const width = Math.max(...columns.map(({ name }) => name.length));
  const lines = scores.flatMap((score) => {
    if (score.columns.every(({ value, errors }) => value === null && errors === 0)) return [];
    const own = score.columns.map((value, i) => {
      const difference = score.differences.find(({ column }) => column === i);
      const isCompared = difference && difference.wins + difference.losses + difference.ties > 0;
      const against = isCompared ? `  ${differenceText(difference, score.metric)}` : '';
      return `  ${columns[i]!.name.padEnd(width)}  ${columnText(value, score.metric)}${against}`;
    });
    return [scoreName(score), ...own];
  });
  return [...lines, ...(judge ? [judgeText(judge)] : []), settingsText(evaluation)].join('\n');
}
