import { describe, expect, it } from 'vitest';
import {
  distillationOf,
  methodOfKeys,
  objectiveOf,
  rowFormOf,
} from '../../../src/shared/objective';
import { checkRecipe } from '../../../src/shared/recipeFile';

const problemsOf = (recipe: object) =>
  checkRecipe(JSON.stringify({ base: 'b', dataset: 'd', ...recipe }), '/lora.json').problems.map(
    ({ message, place }) => `${place?.key}: ${message}`,
  );

describe('objectiveOf', () => {
  it("has TRL's defaults", () => {
    const of = (method: 'dpo' | 'kto' | 'orpo' | 'cpo' | 'simpo') =>
      objectiveOf({ task: 'causal_lm', objective: { method } });
    expect(of('dpo')).toEqual({
      method: 'dpo',
      beta: 0.1,
      loss_type: 'sigmoid',
      label_smoothing: 0,
    });
    expect(of('kto')).toMatchObject({ beta: 0.1, desirable_weight: 1, undesirable_weight: 1 });
    expect(of('orpo')).toEqual({ method: 'orpo', beta: 0.1 });
    expect(of('cpo')).toMatchObject({ beta: 0.1, cpo_alpha: 1, loss_type: 'sigmoid' });
    expect(of('simpo')).toMatchObject({ beta: 0.1, cpo_alpha: 0, simpo_gamma: 0.5 });
  });

  it('is null where answers are learned, and for older recipes', () => {
    expect(objectiveOf({ task: 'causal_lm', objective: { method: 'sft' } })).toBeNull();
    expect(objectiveOf({ task: 'causal_lm' })).toBeNull();
    expect(rowFormOf({ task: 'reward' })).toBe('preference');
    expect(rowFormOf({ task: 'seq_cls' })).toBe('seq_cls');
  });
});

it.each([
  [{ objective: { method: 'dpo', simpo_gamma: 1 } }, /objective.simpo_gamma.*method dpo/],
  [{ objective: { beta: 0.2 } }, /objective.beta.*method sft/],
  [{ objective: { method: 'cpo', loss_type: 'robust' } }, /objective.loss_type.*dpo only/],
  [
    { objective: { method: 'dpo', loss_type: 'hinge', label_smoothing: 0.1 } },
    /label_smoothing.*hinge/,
  ],
  [{ objective: { method: 'dpo', label_smoothing: 0.5 } }, /must be below 0.5/],
  [{ task: 'reward', objective: { method: 'dpo' } }, /objective.method.*task is reward/],
  [{ objective: { method: 'dpo', center_rewards_coefficient: 1 } }, /center_rewards_coefficient/],
  [{ objective: { method: 'dpo' }, training: { packing: true } }, /training.packing/],
  [{ objective: { method: 'distill' } }, /objective.teacher.*is missing/],
  [{ objective: { teacher: 't' } }, /objective.teacher.*method sft/],
  [{ objective: { method: 'distill', teacher: 't', beta: 1 } }, /objective.beta.*method distill/],
  [{ objective: { method: 'distill', teacher: 't', kd_ratio: 2 } }, /must be at most 1/],
  [
    { objective: { method: 'distill', teacher: 't' }, training: { label_smoothing_factor: 0.1 } },
    /label_smoothing_factor.*distill/,
  ],
  [
    {
      objective: { method: 'distill', teacher: 't', kd_ratio: 1 },
      training: { metric_for_best_model: 'perplexity' },
    },
    /metric_for_best_model.*kd_ratio is 1/,
  ],
  [
    { objective: { method: 'kto' }, training: { per_device_train_batch_size: 1 } },
    /must be at least 2 for kto/,
  ],
  [
    { objective: { method: 'dpo' }, training: { label_smoothing_factor: 0.1 } },
    /label_smoothing_factor/,
  ],
])('refuses %j', (recipe, message) => {
  expect(problemsOf(recipe).join()).toMatch(message);
});

describe('distillationOf', () => {
  it('has defaults, and is null without a teacher', () => {
    const task = 'causal_lm';
    expect(distillationOf({ task, objective: { method: 'distill', teacher: 't' } })).toEqual({
      teacher: 't',
      temperature: 1,
      kd_ratio: 0.5,
      top_k: 64,
    });
    expect(distillationOf({ task, objective: { method: 'sft' } })).toBeNull();
    expect(distillationOf({ task })).toBeNull();
    expect(objectiveOf({ task, objective: { method: 'distill', teacher: 't' } })).toBeNull();
    expect(rowFormOf({ task, objective: { method: 'distill', teacher: 't' } })).toBe(task);
  });

  it('names the teacher by an absolute path', () => {
    const text = JSON.stringify({
      base: 'b',
      dataset: 'd',
      objective: { method: 'distill', teacher: 'big' },
    });
    expect(checkRecipe(text, '/folder/lora.json').recipe?.objective.teacher).toMatch(/folder.big$/);
  });
});

it('accepts what a method uses', () => {
  expect(problemsOf({ objective: { method: 'kto', beta: 0.2, desirable_weight: 2 } })).toEqual([]);
  expect(problemsOf({ task: 'reward', objective: { center_rewards_coefficient: 0.01 } })).toEqual(
    [],
  );
});

it('guesses the method from the keys of a row', () => {
  expect(methodOfKeys(['chosen', 'rejected'])).toBe('dpo');
  expect(methodOfKeys(['prompt', 'completion', 'label'])).toBe('kto');
  expect(methodOfKeys(['prompt', 'completion'])).toBe('sft');
});
