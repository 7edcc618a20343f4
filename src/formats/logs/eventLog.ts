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

/** Tags of the validation set: eval/loss, val_loss, validation/loss, loss/val. */
const VALIDATION = /(?:^|[/_])(?:eval|val|valid|validation|test)(?:[/_]|$)/i;
const LOSS = /(?:^|[/_])loss(?:[/_]|$)/i;

/** The scalars of event files as a training; null when none of them is a loss. */
export function readEventLog(scalars: readonly Scalar[]): ImportedLog | null {
  const steps = new Map<number, Partial<Record<StepField, number>>>();
  const lines = [];
  const times = scalars.map((own) => own.wall_time).filter(Number.isFinite);
  const started = times.reduce((least, time) => Math.min(least, time), Infinity);
  for (const { tag, step, value, wall_time } of scalars) {
    if (!isStep(step)) continue;
    const elapsed = wall_time - started;
    if (VALIDATION.test(tag)) {
      if (LOSS.test(tag)) lines.push(evalLine(step, value, elapsed));
      continue;
    }
    const field = fieldOf(tag);
    if (field === null) continue;
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

function fieldOf(tag: string): StepField | null {
  const name = tag.toLowerCase().split('/').at(-1)!;
  if (Object.hasOwn(FIELDS, name)) return FIELDS[name]!;
  return name === 'train' && LOSS.test(tag) ? 'loss' : null;
}
