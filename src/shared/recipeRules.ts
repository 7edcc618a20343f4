import { objectiveFaults } from './objective';
import type { Recipe, TrainingSettings } from './recipe';
import { isGreaterBetter, isOfCalls, metricsOfTask } from './bestMetric';
import { parametersOf, type SchedulerParameter } from './schedulers';

/** A key whose value does not fit that of another key; the message is a full sentence. */
export interface Contradiction {
  readonly key: string;
  readonly message: string;
}

/** Problems of a recipe whose values are each valid but do not fit together. */
export const contradictionsOf = (recipe: Recipe): Contradiction[] => [
  ...schedulerContradictions(recipe.training),
  ...bestContradictions(recipe),
  ...quantizeContradictions(recipe.training),
  ...targetContradictions(recipe.lora),
  ...lossContradictions(recipe),
  ...objectiveFaults(recipe),
  ...embeddingContradictions(recipe),
  ...tokenContradictions(recipe),
  ...rerankerContradictions(recipe),
  ...evaluateContradictions(recipe),
  ...pixelContradictions(recipe),
  ...answerContradictions(recipe),
];

function schedulerContradictions(training: TrainingSettings): Contradiction[] {
  const { lr_scheduler_type: scheduler, lr_scheduler_kwargs: kwargs, learning_rate } = training;
  const known = parametersOf(scheduler);
  const problem = (name: SchedulerParameter, message: string): Contradiction => ({
    key: `training.lr_scheduler_kwargs.${name}`,
    message,
  });
  const unknown = (Object.keys(kwargs) as SchedulerParameter[])
    .filter((name) => kwargs[name] !== null && !known.includes(name))
    .map((name) =>
      problem(
        name,
        `The scheduler "${scheduler}" has no parameter "${name}". ` +
          (known.length === 0 ? 'It has none.' : `It has ${known.join(', ')}.`),
      ),
    );
  const problems = [...unknown];
  if (known.includes('min_lr') && (kwargs.min_lr === null) === (kwargs.min_lr_rate === null))
    problems.push(
      problem('min_lr', `"${scheduler}" needs either "min_lr" or "min_lr_rate", and not both.`),
    );
  if (scheduler === 'warmup_stable_decay' && kwargs.num_decay_steps === null)
    problems.push(problem('num_decay_steps', `"${scheduler}" needs "num_decay_steps".`));
  if (scheduler === 'polynomial' && learning_rate <= (kwargs.lr_end ?? 1e-7))
    problems.push(
      problem('lr_end', `"lr_end" (${kwargs.lr_end ?? 1e-7}) must be below learning_rate.`),
    );
  if (scheduler === 'cosine_with_restarts' && !Number.isInteger(kwargs.num_cycles ?? 1))
    problems.push(problem('num_cycles', `The restarts of "${scheduler}" must be a whole number.`));
  return problems;
}

/** What an adapter on parameters cannot have, as in PEFT. */
export function targetContradictions(lora: Recipe['lora']): Contradiction[] {
  const { target_modules, target_parameters, use_dora, lora_dropout, init_lora_weights } = lora;
  const hasParameters = (target_parameters?.length ?? 0) > 0;
  if (target_modules.length === 0 && !hasParameters)
    return [
      { key: 'lora.target_modules', message: 'target_modules must name at least one module.' },
    ];
  if (!hasParameters) return [];
  const onExperts = (key: string, what: string): Contradiction => ({
    key: `lora.${key}`,
    message: `An adapter on parameters (target_parameters) cannot have ${what}.`,
  });
  return [
    ...(use_dora ? [onExperts('use_dora', 'DoRA')] : []),
    ...(lora_dropout > 0 ? [onExperts('lora_dropout', 'dropout: set it to 0')] : []),
    ...(['default', 'gaussian'].includes(init_lora_weights)
      ? []
      : [onExperts('init_lora_weights', `the start "${init_lora_weights}"`)]),
  ];
}

function quantizeContradictions({ method, quantize }: TrainingSettings): Contradiction[] {
  if (quantize === null || method !== 'full') return [];
  const message =
    'Quantized weights do not train. Set training.method to "lora", or quantize to null.';
  return [{ key: 'training.quantize', message }];
}

function bestContradictions(recipe: Recipe): Contradiction[] {
  const { metric_for_best_model: metric, greater_is_better, ...training } = recipe.training;
  const known = metricsOfTask(recipe.task, recipe.problem_type);
  const problems: Contradiction[] = [];
  if (!known.includes(metric))
    problems.push({
      key: 'training.metric_for_best_model',
      message: `Evaluations of ${recipe.task} have no "${metric}". They have ${known.join(', ')}.`,
    });
  if (isOfCalls(metric) && recipe.samples.sample_steps === 0)
    problems.push({
      key: 'training.metric_for_best_model',
      message: `Calls are counted with the samples: "${metric}" needs samples.sample_steps above 0.`,
    });
  if (greater_is_better !== null && greater_is_better !== isGreaterBetter(metric))
    problems.push({
      key: 'training.greater_is_better',
      message: `A ${isGreaterBetter(metric) ? 'higher' : 'lower'} ${metric} is better. Remove greater_is_better.`,
    });
  if (training.early_stopping_patience === null) {
    if (training.early_stopping_threshold > 0)
      problems.push({
        key: 'training.early_stopping_threshold',
        message: 'The threshold has no effect without early_stopping_patience.',
      });
  } else if (recipe.validation === null && recipe.validation_split === 0)
    problems.push({
      key: 'training.early_stopping_patience',
      message: 'Early stopping needs a validation set: set validation or validation_split.',
    });
  return problems;
}

function lossContradictions({ task, problem_type, training }: Recipe): Contradiction[] {
  const problems: Contradiction[] = [];
  const { label_smoothing_factor, neftune_noise_alpha } = training;
  const hasClasses =
    task !== 'embedding' &&
    task !== 'reranker' &&
    (problem_type === null || problem_type === 'single_label_classification');
  if (label_smoothing_factor > 0 && !hasClasses)
    problems.push({
      key: 'training.label_smoothing_factor',
      message: 'Label smoothing is for tokens and single classes only. Set it to 0.',
    });
  if (neftune_noise_alpha !== null && (task === 'image_cls' || task === 'features'))
    problems.push({
      key: 'training.neftune_noise_alpha',
      message: 'NEFTune adds noise to the vectors of tokens, which images do not have.',
    });
  return problems;
}

function embeddingContradictions({ task, embedding }: Recipe): Contradiction[] {
  const problems: Contradiction[] = [];
  const { loss, matryoshka_dims: dims, matryoshka_weights: weights } = embedding;
  if (task !== 'embedding' && (loss !== null || dims !== null))
    problems.push({
      key: 'embedding',
      message: `These settings are for the task embedding, but the task is ${task}.`,
    });
  if (weights !== null && weights.length !== dims?.length)
    problems.push({
      key: 'embedding.matryoshka_weights',
      message: 'matryoshka_weights needs one number for each of matryoshka_dims.',
    });
  return problems;
}

function pixelContradictions({ task, pixel_range: range }: Recipe): Contradiction[] {
  if (range === null) return [];
  const key = 'pixel_range';
  if (task !== 'image_cls')
    return [{ key, message: `This is for the task image_cls, but the task is ${task}.` }];
  if (range[0] < range[1]) return [];
  return [{ key, message: 'The first number, that of black, must be below the second.' }];
}

/** What an encoder-decoder, whose decoder alone learns a text, has no meaning for. */
function answerContradictions({ task, labels, tools, training }: Recipe): Contradiction[] {
  if (task !== 'seq2seq_lm') return [];
  const rules: readonly (readonly [key: string, isBroken: boolean, message: string])[] = [
    ['labels', labels === 'all', 'The decoder learns answers alone: set labels to "assistant".'],
    ['tools', tools !== null, 'Tools are for chats, which an encoder-decoder does not read.'],
    [
      'training.neftune_noise_alpha',
      training.neftune_noise_alpha !== null,
      'NEFTune is not supported for encoder-decoders. Set it to null.',
    ],
  ];
  return rules.filter(([, isBroken]) => isBroken).map(([key, , message]) => ({ key, message }));
}

function tokenContradictions({ lora }: Recipe): Contradiction[] {
  const { trainable_token_indices: indices, init_adapter } = lora;
  if (indices === null) return [];
  const problem = (message: string): Contradiction => ({
    key: 'lora.trainable_token_indices',
    message,
  });
  const lists = Array.isArray(indices) ? [indices] : Object.values(indices);
  const isEmpty = lists.length === 0 || lists.some((ids) => ids.length === 0);
  const isRepeated = lists.some((ids) => new Set(ids).size < ids.length);
  return [
    ...(isEmpty ? [problem('trainable_token_indices must name at least one token.')] : []),
    ...(isRepeated ? [problem('trainable_token_indices must name each token once.')] : []),
    ...(init_adapter === null
      ? []
      : [problem('With init_adapter, the tokens of that adapter are trained. Remove this key.')]),
  ];
}

function rerankerContradictions({ task, reranker }: Recipe): Contradiction[] {
  if (task === 'reranker' || reranker.loss === null) return [];
  const message = `This is for the task reranker, but the task is ${task}.`;
  return [{ key: 'reranker.loss', message }];
}

function evaluateContradictions(recipe: Recipe): Contradiction[] {
  const { task, evaluate, training, validation, validation_split } = recipe;
  const { suites, forgetting } = evaluate;
  const answersSuites = task === 'causal_lm' || task === 'seq2seq_lm' || task === 'seq_cls';
  const rules: readonly (readonly [key: string, isBroken: boolean, message: string])[] = [
    ['suites', suites.length > 0 && !answersSuites, `Suites cannot be used with the task ${task}.`],
    [
      'suites',
      suites.length > 0 && training.method === 'full',
      'Suites compare an adapter with its base. Use lora evaluate after the training.',
    ],
    [
      'forgetting',
      forgetting && task !== 'causal_lm',
      `What is forgotten is measured of language models only, but the task is ${task}.`,
    ],
    [
      'forgetting',
      forgetting && validation === null && validation_split === 0,
      'What is forgotten is measured at evaluations: set validation or validation_split.',
    ],
  ];
  return rules
    .filter(([, isBroken]) => isBroken)
    .map(([key, , message]) => ({ key: `evaluate.${key}`, message }));
}
