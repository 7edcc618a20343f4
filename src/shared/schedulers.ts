import * as v from 'valibot';
import { described, int, nonNegative, positive, share } from './schemaParts';

const SHAPES = ['linear', 'cosine', '1-sqrt'] as const;
const orNull = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.optional(described(v.nullable(schema), description), null);

const PARAMETERS = {
  num_cycles: orNull(
    positive(),
    'cosine, cosine_with_min_lr, cosine_warmup_with_min_lr, warmup_stable_decay: waves of the ' +
      'cosine (null: 0.5, half a wave). cosine_with_restarts: restarts, a whole number (null: 1).',
  ),
  min_lr: orNull(
    nonNegative(),
    'cosine_with_min_lr, cosine_warmup_with_min_lr: the learning rate at the end.',
  ),
  min_lr_rate: orNull(
    share(),
    'The same as a share of learning_rate; one of the two must be set for these schedulers.',
  ),
  warmup_lr_rate: orNull(
    share(),
    'cosine_warmup_with_min_lr: the first learning rate as a share of learning_rate. null: one ' +
      'step of the warm-up.',
  ),
  power: orNull(positive(), 'polynomial: the exponent. null: 1.'),
  lr_end: orNull(
    nonNegative(),
    'polynomial: the learning rate at the end, below learning_rate. null: 1e-7.',
  ),
  timescale: orNull(
    int(1),
    'inverse_sqrt: the timescale of the decay, in steps. null: the warm-up steps, or 10,000 ' +
      'without a warm-up.',
  ),
  num_decay_steps: orNull(int(0), 'warmup_stable_decay: steps of the decay at the end; required.'),
  num_stable_steps: orNull(
    int(0),
    'warmup_stable_decay: steps between warm-up and decay. null: all others.',
  ),
  warmup_type: orNull(
    v.picklist(SHAPES),
    'warmup_stable_decay: the shape of the warm-up. null: linear.',
  ),
  decay_type: orNull(
    v.picklist(SHAPES),
    'warmup_stable_decay: the shape of the decay. null: cosine.',
  ),
  min_lr_ratio: orNull(
    share(),
    'warmup_stable_decay: the lowest learning rate as a share of learning_rate. null: 0.',
  ),
} as const;

/** A key of training.lr_scheduler_kwargs. */
export type SchedulerParameter = keyof typeof PARAMETERS;

/** The recipe's training.lr_scheduler_kwargs, by transformers' names. */
export const SchedulerParametersSchema = v.strictObject(PARAMETERS);
export type SchedulerParameters = v.InferOutput<typeof SchedulerParametersSchema>;

const MIN_LR = ['num_cycles', 'min_lr', 'min_lr_rate'] as const;

/** The schedulers by transformers' names, with the parameters that each takes. */
const SCHEDULERS = {
  cosine: ['num_cycles'],
  linear: [],
  constant: [],
  constant_with_warmup: [],
  cosine_with_restarts: ['num_cycles'],
  cosine_with_min_lr: MIN_LR,
  cosine_warmup_with_min_lr: [...MIN_LR, 'warmup_lr_rate'],
  polynomial: ['power', 'lr_end'],
  inverse_sqrt: ['timescale'],
  warmup_stable_decay: [
    'num_decay_steps',
    'num_stable_steps',
    'warmup_type',
    'decay_type',
    'min_lr_ratio',
    'num_cycles',
  ],
} as const satisfies Readonly<Record<string, readonly SchedulerParameter[]>>;
export type Scheduler = keyof typeof SCHEDULERS;

/** The choices for training.lr_scheduler_type. */
export const SCHEDULER_NAMES = Object.keys(SCHEDULERS) as [Scheduler, ...Scheduler[]];

/** The parameters that a scheduler takes. */
export const parametersOf = (scheduler: Scheduler): readonly SchedulerParameter[] =>
  SCHEDULERS[scheduler];
