import type { StepField } from '../../shared/metrics/table';
import type { Scalar } from '../tensorboard/events';
import { evalLine, inOrder, isStep, stepLine, type ImportedLog } from './importedLog';

/** The last part of tags, as transformers, Lightning and others name them. */
const FIELDS: Readonly<Record<string, StepField>> = {
  loss: 'loss',
  train_loss: 'loss',
  training_loss: 'loss',
  learning_rate: 'learning_rate',
  lr: 'learning_rate',
  grad_norm: 'grad_norm',
  gradient_norm: 'grad_norm',
  epoch: 'epoch',
  tokens_per_second: 'tokens_per_second',
};

const SETS = '(?:eval|val|valid|validation|test)';
/** Tags of the validation set: eval/loss, val_loss, validation/loss, loss/val. */
const VALIDATION = new RegExp(`(?:^|[/_])${SETS}(?:[/_]|$)`, 'i');
const TEST = /(?:^|[/_])test(?:[/_]|$)/i;
const LOSS = /(?:^|[/_])loss(?:[/_]|$)/i;
/** A loss that is no part of another one, such as eval/aux_loss. */
const WHOLE_LOSS = new RegExp(`^(?:.*/)?(?:${SETS}[/_])?loss(?:[/_]${SETS})?$`, 'i');

/** The scalars of event files as a training run; null when none of them is a loss. */
export function readEventLog(scalars: readonly Scalar[]): ImportedLog | null {
  const steps = new Map<number, Partial<Record<StepField, number>>>();
  const lines = [];
  const times = scalars.map((own) => own.wall_time).filter(Number.isFinite);
  const started = times.reduce((least, time) => Math.min(least, time), Infinity);
  const tags = [...new Set(scalars.map(({ tag }) => tag))];
  const [training, validation] = [trainingLoss(tags), validationLoss(tags)];
  for (const { tag, step, value, wall_time } of scalars) {
    if (!isStep(step)) continue;
    const elapsed = wall_time - started;
    if (VALIDATION.test(tag)) {
      if (tag === validation) lines.push(evalLine(step, value, elapsed));
      continue;
    }
    const field = fieldOf(tag);
    if (field === null || (field === 'loss' && tag !== training)) continue;
    steps.set(step, { ...steps.get(step), [field]: value, elapsed });
  }
  for (const [step, values] of steps)
    if (values.loss !== undefined) lines.push(stepLine({ ...values, step }));
  if (lines.length === 0) return null;
  return {
    program: 'TensorBoard',
    lines: inOrder(lines),
    started: Number.isFinite(started) ? started * 1000 : null,
    total_steps: null,
    training: {},
  };
}

/** Of several losses that of the steps: transformers ends with train/train_loss, their mean. */
const trainingLoss = (tags: readonly string[]): string | undefined =>
  leastDoubtful(
    tags.filter((tag) => !VALIDATION.test(tag) && fieldOf(tag) === 'loss'),
    (tag) => (/(?:^|\/)train(?:ing)?_loss$/i.test(tag) ? 1 : 0),
  );

const validationLoss = (tags: readonly string[]): string | undefined =>
  leastDoubtful(
    tags.filter((tag) => VALIDATION.test(tag) && LOSS.test(tag)),
    (tag) => (WHOLE_LOSS.test(tag) ? 0 : 2) + (TEST.test(tag) ? 1 : 0),
  );

const leastDoubtful = (
  tags: readonly string[],
  doubts: (tag: string) => number,
): string | undefined => tags.toSorted((a, b) => doubts(a) - doubts(b))[0];

function fieldOf(tag: string): StepField | null {
  const name = tag.toLowerCase().split('/').at(-1)!;
  if (Object.hasOwn(FIELDS, name)) return FIELDS[name]!;
  return name === 'train' && LOSS.test(tag) ? 'loss' : null;
}
