import type { ColumnFacts } from '../../inspect/questions';
import type { ColumnTarget } from '../../shared/datasetSources';
import type { RowForm } from '../../shared/objective';
import type { Task } from '../../shared/task';
import { t } from '../text/l10n';

/** The formats as which rows with other column names can be read. */
export interface ColumnForm {
  readonly label: string;
  readonly form: RowForm;
  readonly task: Task;
  /** The columns that the rows need, each with the question for it. */
  readonly targets: readonly { readonly target: ColumnTarget; readonly question: string }[];
}

export const columnForms = (): readonly ColumnForm[] => [...writtenForms(), ...comparedForms()];

const promptsFor = (task: 'causal_lm' | 'seq2seq_lm'): ColumnForm => ({
  label: t('Prompts with answers'),
  form: task,
  task,
  targets: [
    { target: 'prompt', question: t('Which column is the prompt, which is not learned?') },
    { target: 'completion', question: t('Which column is the answer, which is learned?') },
  ],
});

/** What language models and classifiers learn. */
const writtenForms = (): readonly ColumnForm[] => [
  promptsFor('causal_lm'),
  promptsFor('seq2seq_lm'),
  {
    label: t('Chats'),
    form: 'causal_lm',
    task: 'causal_lm',
    targets: [{ target: 'messages', question: t('Which column is the list of messages?') }],
  },
  {
    label: t('Plain texts'),
    form: 'causal_lm',
    task: 'causal_lm',
    targets: [{ target: 'text', question: t('Which column is the text?') }],
  },
  {
    label: t('Prompts with a better and a worse answer'),
    form: 'preference',
    task: 'causal_lm',
    targets: [
      { target: 'prompt', question: t('Which column is the prompt, which is not learned?') },
      { target: 'chosen', question: t('Which column is the better answer?') },
      { target: 'rejected', question: t('Which column is the worse answer?') },
    ],
  },
  {
    label: t('Texts with labels'),
    form: 'seq_cls',
    task: 'seq_cls',
    targets: [
      { target: 'text', question: t('Which column is the text?') },
      { target: 'label', question: t('Which column is the label?') },
    ],
  },
  {
    label: t('Words with a label each'),
    form: 'token_cls',
    task: 'token_cls',
    targets: [
      { target: 'tokens', question: t('Which column is the list of words?') },
      { target: 'tags', question: t('Which column is the list of their labels?') },
    ],
  },
];

/** What belongs together. */
const comparedForms = (): readonly ColumnForm[] => [
  {
    label: t('Pairs of related texts'),
    form: 'embedding',
    task: 'embedding',
    targets: [
      { target: 'anchor', question: t('Which column is the query (anchor)?') },
      { target: 'positive', question: t('Which column is the matching text (positive)?') },
    ],
  },
  {
    label: t('Images with texts'),
    form: 'contrastive',
    task: 'contrastive',
    targets: [
      { target: 'image', question: t('Which column is the path of the image?') },
      { target: 'text', question: t('Which column is the text that describes it?') },
    ],
  },
];

/** The forms that a base can be trained on, and that rows of so many columns can have. */
export const fittingForms = (tasks: readonly Task[], columns: number): readonly ColumnForm[] =>
  columnForms().filter(({ task, targets }) => tasks.includes(task) && targets.length <= columns);

type Column = ColumnFacts['columns'][number];

/** Numbers of rows are seldom what is meant. */
const LETTER = /\p{L}/u;

/** Whether a column holds words, not numbers alone. */
export const isWritten = ({ values }: Column): boolean =>
  values.some((value) => LETTER.test(value));

/** The column that others are probably there for: the one of names, else the last. */
export function likelyLabel(columns: ColumnFacts['columns']): string | undefined {
  const named = columns.filter(isWritten);
  return (named.length === 1 ? named[0] : columns.at(-1))?.name;
}
