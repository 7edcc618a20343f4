/** The tasks that a model can be trained for. */
export const TASKS = [
  'causal_lm',
  'seq2seq_lm',
  'seq_cls',
  'token_cls',
  'image_cls',
  'embedding',
  'contrastive',
  'reward',
  'reranker',
  'features',
] as const;
export type Task = (typeof TASKS)[number];

/** What models are made for: one that gives rewards or ranks is a classifier with one output. */
export const MODEL_TASKS = [
  'causal_lm',
  'seq2seq_lm',
  'seq_cls',
  'token_cls',
  'image_cls',
  'embedding',
  'contrastive',
] as const satisfies readonly Task[];
export type ModelTask = (typeof MODEL_TASKS)[number];

/** The kind of model that a task needs. `features` is for layers models, which have no kinds. */
export function modelTaskOf(task: Task): ModelTask {
  if (task === 'features') return 'image_cls';
  return isSingleOutput(task) ? 'seq_cls' : task;
}

/** Whether the rows of a task may have classes, several classes, or numbers (problem_type). */
export const hasKinds = (task: Task): boolean => task === 'seq_cls' || task === 'features';

/** What a base can be trained for, by what models its family makes. */
export const trainableTasks = (tasks: readonly ModelTask[]): Task[] =>
  tasks.flatMap((task) => (task === 'seq_cls' ? [task, 'reranker' as const] : [task]));

/** Whether a task trains a head with one output, whose rows have no labels of classes. */
export const isSingleOutput = (task: Task): task is 'reward' | 'reranker' =>
  task === 'reward' || task === 'reranker';

/** Guesses the task of a dataset from the keys of its first row. */
export function taskOfKeys(keys: readonly string[]): Task {
  const has = (...names: string[]) => names.every((name) => keys.includes(name));
  if (isRanking(has)) return 'reranker';
  if (has('image', 'text') || has('image', 'caption')) return 'contrastive';
  if (has('tokens') && ['tags', 'ner_tags', 'labels'].some((name) => has(name))) return 'token_cls';
  if (
    ['label', 'labels'].some((name) => has(name)) &&
    ['text', 'sentence', 'sentence1'].some((name) => has(name))
  )
    return 'seq_cls';
  return has('anchor', 'positive') || has('query', 'positive') || has('sentence1', 'sentence2')
    ? 'embedding'
    : 'causal_lm';
}

/** Whether rows rate one document, or several, for a query. */
const isRanking = (has: (...names: string[]) => boolean): boolean =>
  has('query') &&
  ['document', 'documents', 'docs', 'text'].some((name) => has(name)) &&
  ['score', 'scores', 'label', 'labels'].some((name) => has(name));

/** The kinds of labels of a classification or regression head, by transformers' names. */
export const PROBLEM_TYPES = [
  'single_label_classification',
  'multi_label_classification',
  'regression',
] as const;
export type ProblemType = (typeof PROBLEM_TYPES)[number];

/** Whether a task's rows have labels for a classification or regression head. */
export const needsLabels = (task: Task): boolean =>
  !writesText(task) && task !== 'embedding' && task !== 'contrastive' && !isSingleOutput(task);

/** Whether the models of a task write text, with a decoder alone or with an encoder. */
export const writesText = (task: Task): task is 'causal_lm' | 'seq2seq_lm' =>
  task === 'causal_lm' || task === 'seq2seq_lm';

/** The label of tokens and rows that do not count in a loss (ignore_index of torch). */
export const NO_LABEL = -100;
