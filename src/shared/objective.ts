import * as v from 'valibot';
import { described, int, nonNegative, path, positive, share } from './schemaParts';
import type { Task } from './task';

/** What a language model learns from its rows; sft: to write their answers. */
export const OBJECTIVE_METHODS = ['sft', 'dpo', 'orpo', 'kto', 'cpo', 'simpo', 'distill'] as const;
export type ObjectiveMethod = (typeof OBJECTIVE_METHODS)[number];
const LOSS_TYPES = ['sigmoid', 'ipo', 'hinge', 'robust'] as const;
type LossType = (typeof LOSS_TYPES)[number];

/** The key "objective" of a recipe. `objectiveFaults` checks which keys a method has. */
export const ObjectiveSchema = v.strictObject({
  method: v.optional(
    described(
      v.picklist(OBJECTIVE_METHODS),
      'What the model learns from. sft: the answers of the rows. dpo, orpo, cpo, simpo: to ' +
        'prefer the answer "chosen" of each row to its answer "rejected". kto: answers that are ' +
        'labelled true (good) or false. dpo and kto measure both against the model that training ' +
        'starts from. Names and defaults are those of TRL. distill: the answers of the rows, and the token probabilities of a larger model (teacher).',
    ),
    'sft',
  ),
  teacher: v.optional(
    described(
      v.nullable(path()),
      'distill: the model to learn from, a Hugging Face model folder or a .gguf file with the ' +
        'tokenizer of the base. It runs once, before training.',
    ),
    null,
  ),
  temperature: v.optional(
    described(
      v.nullable(positive()),
      'distill: divides the logits of both models; above 1 less probable tokens count more. null: 1.',
    ),
    null,
  ),
  kd_ratio: v.optional(
    described(
      v.nullable(share()),
      'distill: share of the loss that is the KL divergence from the teacher; the rest is the ' +
        'cross-entropy of the rows. null: 0.5.',
    ),
    null,
  ),
  top_k: v.optional(
    described(
      v.nullable(int(1)),
      'distill: number of the most probable teacher tokens to store for each position; all others count as one token. null: 64.',
    ),
    null,
  ),
  beta: v.optional(
    described(
      v.nullable(positive()),
      'dpo, kto: how close the model stays to the one that training starts from; higher is closer. ' +
        'orpo: weight of the odds ratio. cpo, simpo: factor of the log-probabilities. null: 0.1.',
    ),
    null,
  ),
  loss_type: v.optional(
    described(
      v.nullable(v.picklist(LOSS_TYPES)),
      'The loss of a pair. dpo: sigmoid, ipo, hinge or robust; cpo: sigmoid, ipo or hinge. ' +
        'null: sigmoid.',
    ),
    null,
  ),
  label_smoothing: v.optional(
    described(
      v.nullable(
        v.pipe(
          v.number(),
          v.minValue(0, 'must be at least 0'),
          v.ltValue(0.5, 'must be below 0.5'),
        ),
      ),
      'The share of pairs that are assumed to be in the wrong order. dpo with loss_type robust or ' +
        'sigmoid (conservative DPO; TRL 1.16 ignores it there), cpo with sigmoid, simpo. null: 0.',
    ),
    null,
  ),
  cpo_alpha: v.optional(
    described(
      v.nullable(nonNegative()),
      'cpo, simpo: weight of the cross-entropy of the chosen answers. null: 1 for cpo, and 0 ' +
        'for simpo, as in its paper (1 is what TRL calls CPO-SimPO).',
    ),
    null,
  ),
  simpo_gamma: v.optional(
    described(
      v.nullable(nonNegative()),
      'simpo: by how much the reward of the chosen answer must exceed the other. null: 0.5.',
    ),
    null,
  ),
  desirable_weight: v.optional(
    described(v.nullable(nonNegative()), 'kto: weight of the rows with label true. null: 1.'),
    null,
  ),
  undesirable_weight: v.optional(
    described(v.nullable(nonNegative()), 'kto: weight of the rows with label false. null: 1.'),
    null,
  ),
  center_rewards_coefficient: v.optional(
    described(
      v.nullable(positive()),
      'For the task reward only: weight of (chosen + rejected)², which keeps rewards around 0, ' +
        'such as 0.01. null: none.',
    ),
    null,
  ),
});

/** The key "objective" of a recipe as it is written. */
export type ObjectiveSettings = Pick<v.InferOutput<typeof ObjectiveSchema>, 'method'> &
  Partial<v.InferOutput<typeof ObjectiveSchema>>;
type ObjectiveKey = Exclude<keyof ObjectiveSettings, 'method'>;

/** A comparison of answers, with all that its loss depends on. */
export type Objective =
  | {
      readonly method: 'dpo';
      readonly loss_type: LossType;
      readonly beta: number;
      readonly label_smoothing: number;
    }
  | { readonly method: 'orpo'; readonly beta: number }
  | {
      readonly method: 'kto';
      readonly beta: number;
      readonly desirable_weight: number;
      readonly undesirable_weight: number;
    }
  | {
      readonly method: 'cpo';
      readonly loss_type: Exclude<LossType, 'robust'>;
      readonly beta: number;
      readonly label_smoothing: number;
      readonly cpo_alpha: number;
    }
  | {
      readonly method: 'simpo';
      readonly beta: number;
      readonly simpo_gamma: number;
      readonly label_smoothing: number;
      readonly cpo_alpha: number;
    }
  | { readonly method: 'reward'; readonly center_rewards_coefficient: number | null };

/** What a model learns from a teacher beside its rows. */
export interface Distillation {
  /** A model folder or file. */
  readonly teacher: string;
  readonly temperature: number;
  readonly kd_ratio: number;
  readonly top_k: number;
}

/** Null: the recipe has no teacher. */
export function distillationOf({ task, objective }: ObjectiveSource): Distillation | null {
  const { method, teacher = null } = objective ?? {};
  if (task !== 'causal_lm' || method !== 'distill' || teacher === null) return null;
  return {
    teacher,
    temperature: objective?.temperature ?? 1,
    kd_ratio: objective?.kd_ratio ?? 0.5,
    top_k: objective?.top_k ?? 64,
  };
}

/** The part of a recipe that says what is learned. `objective` is missing in older recipes. */
export interface ObjectiveSource {
  readonly task: Task;
  readonly objective?: ObjectiveSettings;
}

/** What a recipe's rows are compared by; null: they are not compared (sft and other tasks). */
export function objectiveOf({ task, objective }: ObjectiveSource): Objective | null {
  if (task === 'reward') {
    return {
      method: 'reward',
      center_rewards_coefficient: objective?.center_rewards_coefficient ?? null,
    };
  }
  if (task !== 'causal_lm' || !objective) return null;
  return OBJECTIVES[objective.method](filled(objective));
}

/** TRL's defaults; that of cpo_alpha depends on the method. */
const DEFAULTS = {
  beta: 0.1,
  loss_type: 'sigmoid',
  label_smoothing: 0,
  simpo_gamma: 0.5,
  desirable_weight: 1,
  undesirable_weight: 1,
} as const;

type Defaulted = keyof typeof DEFAULTS;
type Filled = Omit<ObjectiveSettings, Defaulted> & {
  readonly [Key in Defaulted]: NonNullable<ObjectiveSettings[Key]>;
};

const OBJECTIVES: Readonly<Record<ObjectiveMethod, (settings: Filled) => Objective | null>> = {
  sft: () => null,
  dpo: ({ beta, loss_type, label_smoothing }) => ({
    method: 'dpo',
    beta,
    loss_type,
    label_smoothing,
  }),
  orpo: ({ beta }) => ({ method: 'orpo', beta }),
  distill: () => null,
  kto: ({ beta, desirable_weight, undesirable_weight }) => ({
    method: 'kto',
    beta,
    desirable_weight,
    undesirable_weight,
  }),
  cpo: ({ beta, loss_type, label_smoothing, cpo_alpha }) => ({
    method: 'cpo',
    beta,
    loss_type: loss_type === 'robust' ? 'sigmoid' : loss_type,
    label_smoothing,
    cpo_alpha: cpo_alpha ?? 1,
  }),
  simpo: ({ beta, simpo_gamma, label_smoothing, cpo_alpha }) => ({
    method: 'simpo',
    beta,
    simpo_gamma,
    label_smoothing,
    cpo_alpha: cpo_alpha ?? 0,
  }),
};

const filled = (settings: ObjectiveSettings): Filled => ({
  ...settings,
  beta: settings.beta ?? DEFAULTS.beta,
  loss_type: settings.loss_type ?? DEFAULTS.loss_type,
  label_smoothing: settings.label_smoothing ?? DEFAULTS.label_smoothing,
  simpo_gamma: settings.simpo_gamma ?? DEFAULTS.simpo_gamma,
  desirable_weight: settings.desirable_weight ?? DEFAULTS.desirable_weight,
  undesirable_weight: settings.undesirable_weight ?? DEFAULTS.undesirable_weight,
});

/** Whether an objective measures answers against the model that training starts from. */
export const hasReference = ({ method }: Objective): boolean =>
  method === 'dpo' || method === 'kto';

/** The form of the rows that a recipe needs. */
export type RowForm = Exclude<Task, 'reward'> | 'preference' | 'unpaired';

/** preference: chosen and rejected answers; unpaired: answers labelled true or false. */
export function rowFormOf(source: ObjectiveSource): RowForm {
  const objective = objectiveOf(source);
  if (objective) return objective.method === 'kto' ? 'unpaired' : 'preference';
  return source.task === 'reward' ? 'preference' : source.task;
}

/** Guesses from the keys of a dataset's first row what a language model should learn from it. */
export function methodOfKeys(keys: readonly string[]): 'sft' | 'dpo' | 'kto' {
  const has = (...names: string[]) => names.every((name) => keys.includes(name));
  if (has('chosen', 'rejected') || has('chosen_ids', 'rejected_ids')) return 'dpo';
  const isLabelled = has('prompt', 'completion', 'label');
  return isLabelled || has('prompt_ids', 'completion_ids', 'label') ? 'kto' : 'sft';
}

/** The keys that the methods use. */
const USED: Readonly<Record<ObjectiveMethod, readonly ObjectiveKey[]>> = {
  sft: [],
  dpo: ['beta', 'loss_type', 'label_smoothing'],
  orpo: ['beta'],
  distill: ['teacher', 'temperature', 'kd_ratio', 'top_k'],
  kto: ['beta', 'desirable_weight', 'undesirable_weight'],
  cpo: ['beta', 'loss_type', 'label_smoothing', 'cpo_alpha'],
  simpo: ['beta', 'simpo_gamma', 'label_smoothing', 'cpo_alpha'],
};

/** A problem with a key of the recipe. */
export interface ObjectiveFault {
  /** Such as objective.beta. */
  readonly key: string;
  readonly message: string;
}

/** The parts of a recipe that an objective must fit. */
export interface ObjectiveRecipe extends ObjectiveSource {
  readonly training: {
    readonly per_device_train_batch_size: number;
    readonly packing: boolean;
    readonly label_smoothing_factor: number;
    readonly metric_for_best_model: string;
  };
}

/** Keys of "objective" that its method, or the task, does not use, and others that do not fit. */
export function objectiveFaults(recipe: ObjectiveRecipe): readonly ObjectiveFault[] {
  const { task, objective } = recipe;
  if (!objective) return [];
  const { method } = objective;
  if (method !== 'sft' && task !== 'causal_lm')
    return [
      {
        key: 'objective.method',
        message: `"objective.method" is ${method}, which is for the task causal_lm, but the task is ${task}: leave it out.`,
      },
    ];
  const used: readonly string[] = task === 'reward' ? ['center_rewards_coefficient'] : USED[method];
  const what = task === 'causal_lm' ? `the method ${method}` : `the task ${task}`;
  const unused = Object.entries(objective)
    .filter(([key, value]) => key !== 'method' && (value ?? null) !== null && !used.includes(key))
    .map(([key]): ObjectiveFault => ({
      key: `objective.${key}`,
      message: `"objective.${key}" has no meaning for ${what}: ${used.length === 0 ? 'leave it out' : `it uses ${used.join(', ')}`}.`,
    }));
  return [
    ...unused,
    ...lossTypeFaults(objective),
    ...trainingFaults(recipe),
    ...(method === 'distill' ? distillFaults(recipe, objective) : []),
  ];
}

function distillFaults(
  { training }: ObjectiveRecipe,
  { teacher, kd_ratio }: ObjectiveSettings,
): ObjectiveFault[] {
  const faults: ObjectiveFault[] = [];
  if ((teacher ?? null) === null)
    faults.push({
      key: 'objective.teacher',
      message: '"objective.teacher" is missing: name the model to learn from.',
    });
  if (training.label_smoothing_factor > 0)
    faults.push({
      key: 'training.label_smoothing_factor',
      message:
        '"training.label_smoothing_factor" is not for distill, in which the teacher softens the labels. Set it to 0.',
    });
  if (kd_ratio === 1 && training.metric_for_best_model === 'perplexity')
    faults.push({
      key: 'training.metric_for_best_model',
      message: 'Evaluations have no perplexity where kd_ratio is 1. Use "loss".',
    });
  return faults;
}

function trainingFaults(recipe: ObjectiveRecipe): ObjectiveFault[] {
  const { per_device_train_batch_size, packing, ...training } = recipe.training;
  const objective = objectiveOf(recipe);
  const faults: ObjectiveFault[] = [];
  if (objective && training.label_smoothing_factor > 0)
    faults.push({
      key: 'training.label_smoothing_factor',
      message:
        '"training.label_smoothing_factor" is for answers that are learned one by one. Use objective.label_smoothing, or set it to 0.',
    });
  if (objective && training.metric_for_best_model === 'perplexity')
    faults.push({
      key: 'training.metric_for_best_model',
      message: 'Evaluations of answers that are compared have no perplexity. Use "loss".',
    });
  if (objective && packing)
    faults.push({
      key: 'training.packing',
      message:
        '"training.packing" is for answers that are learned one by one: answers that are compared stay in rows of their own, over which their log-probabilities are added up. Set it to false.',
    });
  if (objective?.method === 'kto' && per_device_train_batch_size < 2)
    faults.push({
      key: 'training.per_device_train_batch_size',
      message:
        '"training.per_device_train_batch_size" must be at least 2 for kto, which measures the KL divergence with the answers of other rows of a batch.',
    });
  return faults;
}

function lossTypeFaults({
  method,
  loss_type: given,
  label_smoothing,
}: ObjectiveSettings): ObjectiveFault[] {
  const loss_type = given ?? DEFAULTS.loss_type;
  if (method === 'cpo' && loss_type === 'robust')
    return [
      {
        key: 'objective.loss_type',
        message: '"objective.loss_type" is robust, which is for the method dpo only.',
      },
    ];
  const isUnsmoothed = (method === 'dpo' || method === 'cpo') && !isSmoothed(loss_type);
  if (!isUnsmoothed || (label_smoothing ?? null) === null) return [];
  const message = `"objective.label_smoothing" has no meaning for the loss_type ${loss_type}: leave it out.`;
  return [{ key: 'objective.label_smoothing', message }];
}

const isSmoothed = (loss_type: LossType): boolean =>
  loss_type === 'sigmoid' || loss_type === 'robust';
