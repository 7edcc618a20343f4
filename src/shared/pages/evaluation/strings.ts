import type { EvaluationMetricId } from '../../evaluation/metrics';
import type { Outcome } from '../../evaluation/outcome';
import type { EvaluationColumn, Verdict } from '../../evaluation/result';
import type { EvaluationFilter, ExportFormat } from './protocol';

/**
 * All texts of the page that shows an evaluation, in English; the host translates them. {0}, {1}
 * are replaced by values.
 */
export const EVALUATION_STRINGS = {
  loading: 'Reading the evaluation…',
  none: '–',
  fault: 'The evaluation cannot be shown',
  title: 'Evaluation of {0}',
  summary: '{0} {0|row|rows}, {1}',
  'summary.base': 'Base model: {0}',
  again: 'Evaluate Again…',
  vote: 'Vote Blind…',
  'export.html': 'Save as HTML…',
  'export.markdown': 'Save as Markdown…',
  'export.csv': 'Save as CSV…',

  scores: 'Scores',
  'scores.words':
    'Each model is compared with “{0}” over the same rows. Intervals contain the true value with {1} confidence.',
  'scores.only': 'Intervals contain the true value with {0} confidence.',
  'scores.suite': 'Suite',
  'scores.total': 'All suites together',
  'scores.rows': '{0} {0|row|rows}',
  'scores.errors': '{0} {0|error|errors}',
  'scores.interval': '{0} to {1}',
  'scores.difference': '{0} ({1} to {2})',
  'scores.points': '{0} points',
  'scores.counts': '{0} won, {1} lost, {2} tied',
  'kind.base': 'base model',
  'kind.adapter': 'adapter',
  'kind.checkpoint': 'checkpoint',
  'kind.endpoint': 'endpoint',
  'verdict.better': 'better',
  'verdict.worse': 'worse',
  'verdict.equal': 'the same in every row',
  'verdict.unclear': 'not enough rows to tell',

  'metric.exact': 'exact',
  'metric.contains': 'contains',
  'metric.regex': 'regular expression',
  'metric.json_schema': 'JSON schema',
  'metric.numeric': 'number',
  'metric.tool_calls': 'tool calls',
  'metric.rouge_l': 'ROUGE-L',
  'metric.chrf': 'chrF',
  'metric.bleu': 'BLEU',
  'metric.perplexity': 'perplexity',
  'metric.choice': 'choice',
  'metric.choice_norm': 'choice per byte',
  'metric.accuracy': 'accuracy',
  'metric.f1': 'F1',
  'metric.judge': 'judge',

  judge: 'Judge: {0}.',
  'judge.pairs':
    '{0} {0|pair|pairs} in both orders; {1} changed with the order and {1|counts|count} as {1|a tie|ties}.',
  'judge.nonsense': '{0} {0|judge answer|judge answers} named no winner.',

  rows: 'Rows',
  'rows.grid': 'Rows of {0}',
  'rows.count': '{0} {0|row|rows}',
  'rows.some': '{0} of {1} {1|row|rows}',
  'rows.none': 'No row is like that.',
  'rows.reading': 'Reading the rows…',
  'column.line': 'Line',
  'column.question': 'Question',
  toolbar: 'Search and filter',
  search: 'Search questions and answers',
  'filter.label': 'Which rows are shown',
  'filter.all': 'All rows',
  'filter.wins': 'Wins',
  'filter.losses': 'Losses',
  'filter.regressions': 'Regressions',
  'filter.errors': 'Errors',
  'filter.count': '{0} ({1})',
  'suite.label': 'Suite',
  'suite.all': 'All suites',
  'model.label': 'Compared model',
  'model.any': 'Any model',
  'outcome.win': 'better',
  'outcome.loss': 'worse',
  'outcome.tie': 'as good',
  'mark.right': 'right',
  'mark.wrong': 'wrong',
  'mark.error': 'error',

  'row.title': '{0}, line {1}',
  'row.check': 'Check: {0}',
  'row.expected': 'Expected',
  'row.question': 'Question',
  'row.calls': 'Tool calls',
  'row.noAnswer': 'The answer is empty.',
  'row.openFile': 'Open in Editor',
  'row.close': 'Close Row',
  'row.previous': 'Previous Row',
  'row.next': 'Next Row',

  'vote.title': 'Which answer is better?',
  'vote.words':
    'The names are hidden, and the sides are random. Press 1 for left, 2 for right, 0 for a tie, U to undo.',
  'vote.progress': 'Pair {0} of {1}',
  'vote.left': 'Left Is Better',
  'vote.right': 'Right Is Better',
  'vote.tie': 'Tie',
  'vote.skip': 'Skip',
  'vote.undo': 'Undo',
  'vote.end': 'End Voting',
  'vote.leftAnswer': 'Left answer',
  'vote.rightAnswer': 'Right answer',
  'vote.expected': 'Show expected answer',
  ratings: 'Your votes',
  'ratings.words':
    '{0} {0|vote|votes} on {1} {1|pair|pairs}. Bradley-Terry ratings: a lead of 400 points means odds of 10 to 1.',
  'ratings.equal': '{0} {0|pair has|pairs have} equal answers and {0|is|are} left out.',
  'ratings.model': 'Model',
  'ratings.rating': 'Rating',
  'ratings.interval': '95% interval',
  'ratings.wins': 'Won',
  'ratings.ties': 'Tied',
  'ratings.losses': 'Lost',
  'ratings.agreement':
    'The judge agrees with {0} of {1} {1|vote|votes} on pairs that it also compared.',
} as const satisfies Readonly<Record<`metric.${EvaluationMetricId}`, string>> &
  Readonly<Record<`kind.${EvaluationColumn['kind']}`, string>> &
  Readonly<Record<`verdict.${Verdict}`, string>> &
  Readonly<Record<`filter.${EvaluationFilter}`, string>> &
  Readonly<Record<`outcome.${Outcome}`, string>> &
  Readonly<Record<`export.${ExportFormat}`, string>> &
  Readonly<Record<string, string>>;

export type EvaluationStringKey = keyof typeof EVALUATION_STRINGS;
