import { describe, expect, it } from 'vitest';
import { parseValues, parseVary } from '../../../../src/shared/sweep/vary';

describe('what a sweep varies', () => {
  it('is a key with values: JSON, or words as they are', () => {
    expect(parseVary('lora.r=4, 1,2,2')).toEqual({ key: 'lora.r', values: [1, 2, 4] });
    expect(parseVary('training.learning_rate=3e-4,1e-4').values).toEqual([1e-4, 3e-4]);
    expect(parseVary('lora.use_dora=true,false').values).toEqual([true, false]);
    expect(parseVary('training.lr_scheduler_type=linear,cosine').values).toEqual([
      'linear',
      'cosine',
    ]);
    expect(parseVary('dataset=a=b.jsonl').values).toEqual(['a=b.jsonl']);
    expect(parseVary('lora.rank_pattern.layers.0.q_proj=1,2').key).toBe(
      'lora.rank_pattern.layers.0.q_proj',
    );
  });

  it('is not split at commas within brackets and quotes', () => {
    expect(parseValues('all-linear,["q_proj","v,_proj"],"a,b\\",c",{"a":[1,2]},null')).toEqual([
      'all-linear',
      ['q_proj', 'v,_proj'],
      'a,b",c',
      { a: [1, 2] },
      null,
    ]);
  });

  it.each([
    ['lora.r', '"lora.r" is not of the form KEY=VALUE,VALUE.'],
    ['=1', '"=1" is not of the form KEY=VALUE,VALUE.'],
    ['lora.r=', 'A value is empty: write "" for an empty text.'],
    ['lora.r=1,,2', 'A value is empty: write "" for an empty text.'],
    ['training.max_steps=1e999', 'The number 1e999 is too large.'],
    ['lora.target_modules=[a-z]+', 'The value [a-z]+ is not valid JSON.'],
    ['lora.rank=1', 'A recipe has no key "lora.rank". Did you mean "lora.r"?'],
    [
      'learning_rate=1',
      'A recipe has no key "learning_rate". Did you mean "training.learning_rate"?',
    ],
    ['lora.seed=1', 'A recipe has no key "lora.seed". Did you mean "training.seed"?'],
    ['trainin.sed=1', 'A recipe has no key "trainin.sed". Did you mean "training.seed"?'],
    ['zebra=1', 'A recipe has no key "zebra".'],
    ['__proto__=1', 'A recipe has no key "__proto__".'],
    ['$schema=1', 'A recipe has no key "$schema".'],
  ])('refuses %s', (text, message) => {
    expect(() => parseVary(text)).toThrow(expect.objectContaining({ area: 'usage', message }));
  });

  it('names the keys of a group', () => {
    expect(() => parseVary('samples={}')).toThrow(
      '"samples" is a group of keys: vary one of samples.prompts, samples.sample_steps, samples.max_new_tokens.',
    );
  });
});
