import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkRecipe } from '../../../src/shared/recipeFile';

const file = resolve('folder/lora.json');
const check = (training: object) =>
  checkRecipe(JSON.stringify({ base: 'm', dataset: 'd', training }, null, 1), file);

describe('what best/ is chosen by', () => {
  const keysOf = (recipe: object) =>
    checkRecipe(JSON.stringify({ base: 'm', dataset: 'd', ...recipe }), file).problems.map(
      ({ place }) => place?.key,
    );

  it.each<[object]>([
    [{ training: { metric_for_best_model: 'perplexity', greater_is_better: false } }],
    [{ training: { metric_for_best_model: 'calls_right' } }],
    [{ task: 'reranker', training: { metric_for_best_model: 'ndcg_at_10' } }],
    [{ task: 'seq_cls', training: { metric_for_best_model: 'pearson' } }],
    [{ task: 'embedding', training: { metric_for_best_model: 'retrieval' } }],
    [{ training: { early_stopping_patience: 2, early_stopping_threshold: 0.1 } }],
  ])('is a metric of the task: %j', (recipe) => expect(keysOf(recipe)).toEqual([]));

  it.each<[string, object]>([
    ['metric_for_best_model', { training: { metric_for_best_model: 'accuracy' } }],
    [
      'metric_for_best_model',
      {
        task: 'seq_cls',
        problem_type: 'regression',
        training: { metric_for_best_model: 'f1' },
      },
    ],
    [
      'metric_for_best_model',
      { training: { metric_for_best_model: 'calls_right' }, samples: { sample_steps: 0 } },
    ],
    ['greater_is_better', { training: { greater_is_better: true } }],
    ['early_stopping_threshold', { training: { early_stopping_threshold: 0.1 } }],
    ['early_stopping_patience', { validation_split: 0, training: { early_stopping_patience: 2 } }],
  ])('is refused at %s: %j', (key, recipe) => expect(keysOf(recipe)).toEqual([`training.${key}`]));
});

it.each<[string, object]>([
  ['label_smoothing_factor', { task: 'embedding', training: { label_smoothing_factor: 0.1 } }],
  [
    'label_smoothing_factor',
    { task: 'seq_cls', problem_type: 'regression', training: { label_smoothing_factor: 0.1 } },
  ],
  ['neftune_noise_alpha', { task: 'image_cls', training: { neftune_noise_alpha: 5 } }],
])('the loss of the task has no %s: %j', (key, recipe) => {
  const text = JSON.stringify({ base: 'm', dataset: 'd', ...recipe });
  expect(checkRecipe(text, file).problems.map(({ place }) => place?.key)).toEqual([
    `training.${key}`,
  ]);
});

it.each<object>([{ task: 'embedding' }, { training: { method: 'full' } }])(
  'suites cannot be answered with %j',
  (recipe) => {
    const evaluate = { suites: ['evals.jsonl'] };
    const text = JSON.stringify({ base: 'm', dataset: 'd', evaluate, ...recipe });
    expect(checkRecipe(text, file).problems.map(({ place }) => place?.key)).toEqual([
      'evaluate.suites',
    ]);
  },
);

it.each<object>([{ task: 'seq_cls' }, { validation_split: 0 }])(
  'what is forgotten cannot be measured with %j',
  (recipe) => {
    const text = JSON.stringify({
      base: 'm',
      dataset: 'd',
      evaluate: { forgetting: true },
      ...recipe,
    });
    expect(checkRecipe(text, file).problems.map(({ place }) => place?.key)).toEqual([
      'evaluate.forgetting',
    ]);
  },
);

describe('the parameters of a scheduler', () => {
  it.each([
    [{ lr_scheduler_type: 'cosine', lr_scheduler_kwargs: { num_cycles: 1, power: null } }],
    [{ lr_scheduler_type: 'cosine_with_min_lr', lr_scheduler_kwargs: { min_lr_rate: 0.1 } }],
    [{ lr_scheduler_type: 'warmup_stable_decay', lr_scheduler_kwargs: { num_decay_steps: 5 } }],
    [{ lr_scheduler_type: 'polynomial' }],
  ])('are accepted: %j', (training) => expect(check(training).problems).toEqual([]));

  it.each([
    ['cosine', { power: 2 }, 'power', /"cosine" has no parameter "power". It has num_cycles/],
    ['linear', { min_lr: 0 }, 'min_lr', /"linear" has no parameter "min_lr". It has none/],
    ['cosine_with_min_lr', {}, 'min_lr', /either "min_lr" or "min_lr_rate"/],
    ['cosine_with_min_lr', { min_lr: 0, min_lr_rate: 0 }, 'min_lr', /and not both/],
    ['warmup_stable_decay', {}, 'num_decay_steps', /needs "num_decay_steps"/],
    ['polynomial', { lr_end: 1 }, 'lr_end', /must be below learning_rate/],
    ['cosine_with_restarts', { num_cycles: 0.5 }, 'num_cycles', /whole number/],
  ])('of %s are refused by key: %j', (lr_scheduler_type, lr_scheduler_kwargs, key, message) => {
    const { recipe, problems } = check({ lr_scheduler_type, lr_scheduler_kwargs });
    expect(recipe).toBeNull();
    expect(problems).toMatchObject([
      {
        message: expect.stringMatching(message) as string,
        place: { file, key: `training.lr_scheduler_kwargs.${key}` },
      },
    ]);
    expect(problems[0]?.place?.line).toBeGreaterThan(3);
  });

  it('with a name that no scheduler knows are refused like any unknown key', () =>
    expect(check({ lr_scheduler_kwargs: { num_cycle: 1 } }).problems).toMatchObject([
      { message: 'Unknown key "num_cycle". Did you mean "num_cycles"?' },
    ]));

  it('of the wrong kind are refused', () => {
    const training = { lr_scheduler_kwargs: { decay_type: 'exp', num_decay_steps: -1 } };
    expect(check(training).problems.map(({ message }) => message)).toEqual([
      '"training.lr_scheduler_kwargs.num_decay_steps" must be at least 0, not -1.',
      '"training.lr_scheduler_kwargs.decay_type" must be "linear", "cosine" or "1-sqrt", not "exp".',
    ]);
  });
});

describe('a recipe for an encoder-decoder', () => {
  const problemsOf = (recipe: object) =>
    checkRecipe(JSON.stringify({ base: 'm', dataset: 'd', task: 'seq2seq_lm', ...recipe }), file)
      .problems;

  it('can have what its decoder learns by, and suites', () => {
    expect(problemsOf({ training: { label_smoothing_factor: 0.1 } })).toEqual([]);
    expect(problemsOf({ evaluate: { suites: ['s.json'] } })).toEqual([]);
  });

  it.each<[string, object]>([
    ['labels', { labels: 'all' }],
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['training.neftune_noise_alpha', { training: { neftune_noise_alpha: 5 } }],
    ['objective.method', { objective: { method: 'dpo' } }],
    ['objective.method', { objective: { method: 'distill', teacher: 't' } }],
    ['evaluate.forgetting', { evaluate: { forgetting: true } }],
  ])('is refused with %s', (key, recipe) =>
    expect(problemsOf(recipe).map(({ place }) => place?.key)).toContain(key),
  );
});
