import {
  trainedOn,
  type CheckedDataset,
  type CheckedRecipe,
  type CutRow,
} from '../../shared/checkedRecipe';
import { countProblems } from '../../shared/problemKinds';
import { t } from '../text/l10n';
import { Tooltip } from '../ui/tooltip';

/** A problem of one row, to mark on its line. */
export interface RowMark {
  readonly line: number;
  readonly severity: 'error' | 'warning';
  readonly code: 'row' | 'cut' | 'duplicate';
  readonly message: string;
}

/** The most marks in one file. */
const MAX_MARKS = 500;

function cutText(
  { length, lost }: CutRow,
  { max_length, limit }: Pick<CheckedRecipe, 'max_length' | 'limit'>,
): string {
  return limit < max_length
    ? t(
        'The row is truncated to {0} {0|token|tokens}, the most that the model supports: {1} of its {2} tokens {1|is|are} lost.',
        limit,
        lost,
        length,
      )
    : t(
        'The row is truncated to max_length = {0}: {1} of its {2} tokens {1|is|are} lost.',
        max_length,
        lost,
        length,
      );
}

/** The marks of one file, errors first; at most 500 and one that counts the others. */
export function rowMarksOf(
  { problems, cut, duplicates, duplicate_rows, statistics }: CheckedDataset,
  limits: Pick<CheckedRecipe, 'max_length' | 'limit'>,
): RowMark[] {
  const marks: RowMark[] = [
    ...problems.map(({ place, severity, message }): RowMark => ({
      line: place?.line ?? place?.row ?? 1,
      severity,
      code: 'row',
      message,
    })),
    ...cut.map((row): RowMark => ({
      line: row.line,
      severity: 'warning',
      code: 'cut',
      message: cutText(row, limits),
    })),
    ...duplicates.map(({ line, first }): RowMark => ({
      line,
      severity: 'warning',
      code: 'duplicate',
      message: t('Duplicate of line {0}.', first),
    })),
  ].sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
  // what is only counted is among the others
  const unlisted =
    Math.max(0, (statistics?.truncated ?? 0) - cut.length) +
    Math.max(0, duplicate_rows - duplicates.length);
  const shown = marks.slice(0, MAX_MARKS);
  const more = marks.length - shown.length + unlisted;
  return more <= 0
    ? shown
    : [
        ...shown,
        {
          line: 1,
          severity: 'warning',
          code: 'row',
          message: t('{0} more {0|row has|rows have} problems.', more),
        },
      ];
}

/** Files of a folder or a dataset on the Hub that the tooltip has room for. */
const MOST_FILES_SHOWN = 6;
/** Length of the longest bar, in characters. */
const BAR = 24;

/** One line for the status bar: the number of errors, else the amount of data. */
export function dataStatus(datasets: readonly CheckedDataset[], task: string): string {
  const train = trainedOn(datasets).map(({ statistics }) => statistics);
  const errors = datasets.reduce(
    (sum, { problems }) =>
      sum + countProblems(problems.filter(({ severity }) => severity === 'error')),
    0,
  );
  if (errors > 0) return t('{0} {0|error|errors} in the data', errors);
  if (train.length === 0 || train.includes(null)) return '';
  const sum = (key: 'examples' | 'tokens' | 'labelled_tokens') =>
    train.reduce((total, own) => total + own![key], 0);
  const [examples, tokens, labelled_tokens] = [
    sum('examples'),
    sum('tokens'),
    sum('labelled_tokens'),
  ];
  const rows = t('{0} {0|example|examples}', examples.toLocaleString());
  return task === 'causal_lm'
    ? t(
        '{0} · {1} {1|token|tokens}, {2} trained on',
        rows,
        short(tokens),
        percent(labelled_tokens / tokens),
      )
    : t('{0} · {1} {1|token|tokens}', rows, short(tokens));
}

/** The same in detail. */
export function dataSummary({ datasets, base, max_length, task }: CheckedRecipe): Tooltip {
  const tooltip = new Tooltip();
  const train = new Set(trainedOn(datasets));
  for (const dataset of datasets.slice(0, MOST_FILES_SHOWN)) {
    const name = dataset.path.split(/[/\\]/).at(-1)!;
    tooltip.facts([[train.has(dataset) ? t('Training data') : t('Validation data'), name]]);
    if (!dataset.statistics) continue;
    tooltip
      .list(countsOf(dataset, dataset.statistics, { max_length, task }))
      .paragraph(t('Lengths in tokens'))
      .table(barsOf(dataset));
  }
  return tooltip.paragraph(
    base === null
      ? t('Tokens are not counted because the base model cannot be read.')
      : t('Tokenized with {0}.', base),
  );
}

function countsOf(
  { duplicate_rows, skipped_rows, excluded_rows }: CheckedDataset,
  {
    examples,
    tokens,
    labelled_tokens,
    longest,
    truncated,
  }: NonNullable<CheckedDataset['statistics']>,
  { max_length, task }: Pick<CheckedRecipe, 'max_length' | 'task'>,
): string[] {
  const trained = t(
    '{0} of them {0|is|are} trained on ({1})',
    labelled_tokens.toLocaleString(),
    percent(labelled_tokens / tokens),
  );
  return [
    t('{0} {0|example|examples}', examples.toLocaleString()),
    t('{0} {0|token|tokens}', tokens.toLocaleString()),
    ...(task === 'causal_lm' ? [trained] : []),
    t(
      'the longest row has {0} {0|token|tokens}, max_length is {1}',
      longest.toLocaleString(),
      max_length,
    ),
    ...(skipped_rows > 0
      ? [t('{0} {0|row|rows} with errors {0|is|are} left out (skip_faulty_rows)', skipped_rows)]
      : []),
    ...(excluded_rows > 0 ? [t('{0} {0|row is|rows are} excluded', excluded_rows)] : []),
    ...(truncated > 0 ? [t('{0} {0|row is|rows are} truncated', truncated)] : []),
    ...(duplicate_rows > 0 ? [t('{0} duplicate {0|row|rows}', duplicate_rows)] : []),
  ];
}

/** The histogram of the lengths. */
function barsOf({ lengths }: CheckedDataset): string[] {
  const maxRows = Math.max(...lengths.map(({ rows }) => rows));
  const label = Math.max(...lengths.map(({ from, to }) => `${from}–${to}`.length));
  return lengths.map(
    ({ from, to, rows }) =>
      `${`${from}–${to}`.padStart(label)} ${'█'.repeat(Math.ceil((BAR * rows) / maxRows))} ${rows.toLocaleString()}`,
  );
}

const short = (n: number) =>
  n.toLocaleString(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const percent = (share: number) =>
  (Number.isFinite(share) ? share : 0).toLocaleString(undefined, {
    style: 'percent',
    maximumFractionDigits: 0,
  });
