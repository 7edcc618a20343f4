import type { LabelSet } from '../../data/tasks/labelSet';
import type { BaseModel } from '../../formats/baseModel';
import type { AdapterTask } from '../../formats/peft/task';
import type { LoadOptions } from '../../models/loadModel';
import type { Task } from '../../shared/task';

const LOSSES = {
  single_label_classification: 'single_label',
  multi_label_classification: 'multi_label',
  regression: 'regression',
} as const;

/** The output of a head that rates answers. */
const REWARD_LABELS: LabelSet = { problem_type: 'regression', names: ['reward'] };

/** The output of a head that rates documents. */
const RERANKER_LABELS: LabelSet = { problem_type: 'regression', names: ['relevance'] };

/** The labels of the head that a task trains: those of the rows, or those of its only output. */
export function headLabels(task: Task, found: LabelSet | null): LabelSet | null {
  if (task === 'reward') return REWARD_LABELS;
  return task === 'reranker' ? RERANKER_LABELS : found;
}

/** Whether a head has one output, called relevance. */
export const isReranker = (labels: LabelSet | null): boolean =>
  labels?.names.length === 1 && labels.names[0] === RERANKER_LABELS.names[0];

/** Whether a head has one output, called reward. */
export const isReward = (labels: LabelSet | null): boolean =>
  labels?.names.length === 1 && labels.names[0] === REWARD_LABELS.names[0];

/** The loss of a classification or regression head, as options of loadModel. */
export const lossOptionsOf = (labels: LabelSet | null): Pick<LoadOptions, 'loss'> =>
  labels ? { loss: LOSSES[labels.problem_type] } : {};

/** Names of the labels of the base's own head; null if it has no trained one. */
export function labelNamesOf({
  spec,
  missing,
  config,
}: Pick<BaseModel, 'spec' | 'missing' | 'config'>): readonly string[] | null {
  const { id2label } = config;
  if (spec.head.kind !== 'labels' || missing.length > 0) return null;
  const count = spec.head.output.out_features;
  const named =
    typeof id2label === 'object' && id2label !== null
      ? (id2label as Readonly<Record<string, unknown>>)
      : {};
  const nameOf = (i: number): string => {
    const name = named[i];
    return typeof name === 'string' ? name : String(i);
  };
  return Array.from({ length: count }, (_, i) => nameOf(i));
}

/** The labels of a model with an adapter's head or the base's own; null for other heads. */
export function modelLabels(base: BaseModel, trained: AdapterTask | null): LabelSet | null {
  const { head } = base.spec;
  if (head.kind !== 'labels') return null;
  const names =
    labelNamesOf(base) ?? Array.from({ length: head.output.out_features }, (_, i) => String(i));
  return trained?.labels ?? { problem_type: 'single_label_classification', names };
}
