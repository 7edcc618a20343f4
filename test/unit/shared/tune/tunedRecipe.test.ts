import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import type { SweepRecord } from '../../../../src/shared/sweep/record';
import { parseTune, type TuneRecord } from '../../../../src/shared/tune/record';
import { tunedKeys } from '../../../../src/shared/tune/space';
import {
  describeReason,
  outcomeOf,
  tunedName,
  tunedText,
} from '../../../../src/shared/tune/tunedRecipe';

const TEXT = `{
  // what I know of it
  "base": "./model",
  "dataset": "a.jsonl",
  "training": { "learning_rate": 1e-4, "seed": 7 }
}
`;
const recipe = parseRecipe(TEXT, '/w/lora.json');
const rates = [1e-4, 1e-3, 1e-2];
const sweep: SweepRecord = {
  version: 1,
  recipe: 'lora.json',
  created: '2026-01-01T00:00:00.000Z',
  vary: [{ key: 'training.learning_rate', values: rates }],
  target: null,
  parallel: 1,
  runs: rates.map((rate, i) => ({ recipe: `r${i}.lora.json`, name: `run ${i}`, values: [rate] })),
};
const tune = (...scores: number[][]): TuneRecord => ({
  version: 1,
  minutes: 5,
  metric: 'loss',
  spent: 0,
  range_test: null,
  plan: null,
  trials: scores.map((own, i) => ({ recipe: `r${i}.lora.json`, steps: [10, 30], scores: own })),
  tuned: null,
});

describe('what a tune has found', () => {
  it('is the best of the highest rung, with what else was tried', () => {
    const now = tune([3], [2, 1.5], [NaN]);
    const outcome = outcomeOf(sweep, now)!;
    expect(outcome).toEqual({ trial: 1, rung: 1, score: 1.5, values: [1e-3] });
    expect(describeReason(sweep, now, outcome)).toEqual([
      'learning_rate 1e-3: validation loss 1.5000 after 30 of 30 steps.',
      'Tried 3 of 3 configurations within 5 minutes:',
      '  training.learning_rate: 1e-4, 1e-3, 0.01',
    ]);
  });

  it('says what came next, where the end was not reached, and where the best is an edge', () => {
    const now = tune([3], [NaN], [2]);
    expect(describeReason(sweep, now, outcomeOf(sweep, now)!).slice(3)).toEqual([
      'The next best at the same step:',
      '  learning_rate 1e-4: 3.0000',
      '  learning_rate 1e-3: failed',
      'training.learning_rate is the highest that was tried: try beyond it.',
      'No configuration was trained to its end: a longer training may prefer another rate.',
    ]);
    expect(outcomeOf(sweep, tune([], [], []))).toBeNull();
  });

  it('becomes a recipe with the comments and keys of the old one, and its reason', () => {
    const tuned = { ...recipe, training: { ...recipe.training, learning_rate: 1e-3 } };
    const text = tunedText(TEXT, {
      keys: ['training.learning_rate', 'lora.r'],
      tuned: { ...tuned, lora: { ...tuned.lora, r: 16, lora_alpha: 32 } },
      reason: ['first', 'second\nof two lines */'],
    });
    expect(text.split('\n').slice(0, 4)).toEqual([
      '// first',
      '// second of two lines */',
      '{',
      '  // what I know of it',
    ]);
    const read = parseRecipe(text, '/w/lora.json');
    expect(read).toEqual({
      ...tuned,
      lora: { ...tuned.lora, r: 16, lora_alpha: 32 },
    });
  });

  it('has a name of its own', () => {
    expect(tunedName('/w/lora.json', 1)).toBe('lora.tuned.lora.json');
    expect(tunedName('/w/git.lora.json', 2)).toBe('git.tuned-2.lora.json');
  });
});

describe('what a tune varies', () => {
  const valuesOf = (suggestion: number | null, text = TEXT) =>
    Object.fromEntries(
      tunedKeys(parseRecipe(text, '/w/lora.json'), [], suggestion).map((own) => [
        own.key,
        own.values,
      ]),
    );

  it('lies around the recipe, or around the rate of a range test', () => {
    expect(valuesOf(null)).toEqual({
      'training.learning_rate': [1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3],
      'lora.r': [4, 8, 16, 32],
    });
    expect(valuesOf(2e-3)['training.learning_rate']).toEqual([5e-4, 1e-3, 2e-3, 4e-3, 8e-3]);
  });

  it('is what is given, and no rank where there is none to choose', () => {
    const given = [{ key: 'lora.r', values: [1, 2] }];
    expect(tunedKeys(recipe, given, null).map(({ key }) => key)).toEqual([
      'training.learning_rate',
      'lora.r',
    ]);
    const full = TEXT.replace('"seed": 7', '"method": "full"');
    expect(Object.keys(valuesOf(null, full))).toEqual(['training.learning_rate']);
  });
});

describe('tune.json', () => {
  it('keeps the scores of failures, which JSON has no number for', () => {
    const now = tune([3, NaN], [], []);
    expect(parseTune(JSON.parse(JSON.stringify(now)), 'tune.json')).toEqual(now);
  });

  it('is refused by what is wrong with it', () => {
    expect(() => parseTune({ ...tune([1]), minutes: -1 }, 'tune.json')).toThrow(
      'This is not the file of a tune: "minutes"',
    );
    const many = tune(...Array.from({ length: 65 }, () => [1]));
    expect(() => parseTune(many, 'tune.json')).toThrow('"trials"');
    expect(() => parseTune(tune([3, 2, 1]), 'tune.json')).toThrow('"trials.0" is not valid');
    const [trial] = tune([1]).trials;
    const elsewhere = { ...tune(), trials: [{ ...trial, recipe: '../lora.json' }] };
    expect(() => parseTune(elsewhere, 'tune.json')).toThrow('"trials.0.recipe"');
  });
});
