import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { placesOf } from '../../../../src/shared/sweep/ranking';
import { shortNames } from '../../../../src/shared/sweep/recipeKeys';
import { parseSweep } from '../../../../src/shared/sweep/record';
import { varyRankAlone } from '../../../../src/shared/sweep/places';
import { valueText } from '../../../../src/shared/sweep/valueText';
import { variantsOf } from '../../../../src/shared/sweep/variants';
import { parseVary } from '../../../../src/shared/sweep/vary';

const FILE = '/w/git.lora.json';

const recipeWith = (change: object = {}) =>
  parseRecipe(
    JSON.stringify({ base: 'm', dataset: 'd.jsonl', lora: { r: 8, lora_alpha: 16 }, ...change }),
    FILE,
  );
const sweep = (varied: readonly string[], change: object = {}) =>
  variantsOf(FILE, recipeWith(change), varied.map(parseVary));

describe('the variants of a recipe', () => {
  it('are all combinations, the last key changing fastest, with names and files', () => {
    const variants = sweep(['lora.r=1,2', 'training.learning_rate=1e-4,3e-4', 'training.seed=7']);
    expect(variants.map(({ file, name }) => [file, name])).toEqual([
      ['r1-learning_rate-1e-4-seed-7.lora.json', 'git r 1, learning_rate 1e-4, seed 7'],
      ['r1-learning_rate-3e-4-seed-7.lora.json', 'git r 1, learning_rate 3e-4, seed 7'],
      ['r2-learning_rate-1e-4-seed-7.lora.json', 'git r 2, learning_rate 1e-4, seed 7'],
      ['r2-learning_rate-3e-4-seed-7.lora.json', 'git r 2, learning_rate 3e-4, seed 7'],
    ]);
    expect(variants.map(({ values }) => values)).toEqual([
      [1, 1e-4, 7],
      [1, 3e-4, 7],
      [2, 1e-4, 7],
      [2, 3e-4, 7],
    ]);
    expect(variants[3]!.recipe).toEqual(
      recipeWith({
        lora: { r: 2, lora_alpha: 4 },
        training: { learning_rate: 3e-4, seed: 7 },
      }),
    );
  });

  it('keep the scaling factor with another rank, unless lora_alpha is varied', () => {
    const alphas = (varied: string[], change?: object) =>
      sweep(varied, change).map(({ recipe }) => recipe.lora.lora_alpha);
    expect(alphas(['lora.r=2,32'])).toEqual([4, 64]);
    expect(alphas(['lora.r=2,32'], { lora: { r: 8, lora_alpha: 16, use_rslora: true } })).toEqual([
      8, 32,
    ]);
    expect(alphas(['lora.r=2,32', 'lora.lora_alpha=5'])).toEqual([5, 5]);
    expect(alphas(['training.seed=1,2'])).toEqual([16, 16]);
  });

  it('have absolute paths, and values within patterns', () => {
    expect(sweep(['dataset=a.jsonl,sub/b.jsonl']).map(({ recipe }) => recipe.dataset)).toEqual([
      '/w/a.jsonl',
      '/w/sub/b.jsonl',
    ]);
    const [first] = sweep(['lora.rank_pattern.layers.0.q_proj=2,4'], {
      lora: { rank_pattern: { v_proj: 1 } },
    });
    expect(first!.recipe.lora.rank_pattern).toEqual({ v_proj: 1, 'layers.0.q_proj': 2 });
    expect(first!.file).toBe('layers.0.q_proj-2.lora.json');
  });

  it('have numbered files where values make no name that is short and different', () => {
    const files = (vary: string) => sweep([vary]).map(({ file }) => file);
    expect(files('dataset=a/x.jsonl,b/x.jsonl')).toEqual(['run-01.lora.json', 'run-02.lora.json']);
    expect(files('dataset=A,a')).toEqual(['run-01.lora.json', 'run-02.lora.json']);
    expect(files('lora.target_modules=["q_proj"],all-linear')).toEqual([
      'target_modules-_q_proj_.lora.json',
      'target_modules-all-linear.lora.json',
    ]);
  });

  it.each([
    [
      ['lora.r=0,1'],
      {},
      'A run of the sweep would not be valid. "lora.r" must be at least 1, not 0.',
    ],
    [['lora.r=1025'], {}, '"lora.r" must be at most 1024 in a sweep, not 1025.'],
    [
      ['training.seed=1', 'training.seed=2'],
      {},
      '"training.seed" is varied twice: give all of its values at once.',
    ],
    [
      ['lora.r=1,2'],
      { training: { method: 'full' } },
      '"lora.r" has no effect with training.method "full".',
    ],
    [
      ['lora.r=1,2'],
      { lora: { init_adapter: 'a' } },
      '"lora.r" has no effect with lora.init_adapter, whose own is used.',
    ],
    [
      ['chat_template_kwargs.x=1,2'],
      { chat_template_kwargs: '{"x": 1.0}' },
      'Keys of "chat_template_kwargs" cannot be varied, because it is given as text.',
    ],
    [
      [`training.seed=${Array.from({ length: 65 }, (_, i) => i).join()}`],
      {},
      'The sweep would have 65 runs; 64 are the most.',
    ],
  ])('are refused: %s %s', (varied, change, message) => {
    expect(() => sweep(varied, change)).toThrow(
      expect.objectContaining({ area: 'usage', message }),
    );
  });
});

describe('the texts of a sweep', () => {
  it('call keys by their last part where that is enough', () => {
    expect(shortNames(['lora.r', 'training.seed'])).toEqual(['r', 'seed']);
    expect(shortNames(['lora.rank_pattern.a', 'lora.alpha_pattern.a'])).toEqual([
      'lora.rank_pattern.a',
      'lora.alpha_pattern.a',
    ]);
  });

  it('show values in a few characters', () => {
    expect(
      [1, 0.00025, 0, 0.05, 'all-linear', '/w/d.jsonl', true, null, ['q', 'v'], undefined].map(
        valueText,
      ),
    ).toEqual([
      '1',
      '2.5e-4',
      '0',
      '0.05',
      'all-linear',
      'd.jsonl',
      'true',
      'null',
      '["q","v"]',
      '–',
    ]);
    expect(valueText('x'.repeat(99))).toBe(`${'x'.repeat(39)}…`);
  });

  it('tell sweeps of ranks alone from others', () => {
    expect(varyRankAlone(['/s/r1.lora.json', '/s/r16.lora.json'])).toBe(true);
    expect(varyRankAlone(['/s/r1.lora.json', '/s/r1-seed-2.lora.json'])).toBe(false);
    expect(varyRankAlone([null])).toBe(false);
  });
});

it('ranks finished runs by validation loss, and by training loss where there is none', () => {
  const run = (finished: boolean, validation: number | null, training: number | null) => ({
    finished,
    validation,
    training,
  });
  expect(
    placesOf([
      run(true, 2, 1),
      run(true, 1, 9),
      run(false, 0.5, 0),
      run(true, 2, 0),
      run(true, NaN, 0),
    ]),
  ).toEqual([2, 1, null, 2, null]);
  expect(placesOf([run(true, null, 2), run(true, NaN, 1)])).toEqual([2, 1]);
});

describe('the file of a sweep', () => {
  const good = {
    version: 1,
    recipe: 'git.lora.json',
    created: '2026-01-01T00:00:00Z',
    vary: [{ key: 'lora.r', values: [1] }],
    target: null,
    parallel: 1,
    runs: [{ recipe: 'r1.lora.json', name: 'git r 1', values: [1] }],
  };
  const run = good.runs[0]!;

  it('is read', () => {
    expect(parseSweep(good, 'sweep.json')).toEqual(good);
  });

  it.each([
    [{ vary: [{ key: 'lora.x', values: [1] }] }, '"vary.0.key" is no key of a recipe.'],
    [{ vary: [] }, '"vary" must not be empty.'],
    [
      { runs: [{ ...run, recipe: '../r1.lora.json' }] },
      '"runs.0.recipe" is not the name of a recipe in the folder.',
    ],
    [{ runs: [{ ...run, values: [] }] }, '"runs" lacks values.'],
    [{ parallel: 0 }, '"parallel" must be at least 1.'],
    [{ version: 2 }, '"version" must be 1.'],
  ])('is refused with %j', (change, message) => {
    expect(() => parseSweep({ ...good, ...change }, 'sweep.json')).toThrow(
      `This is not the file of a sweep: ${message}`,
    );
  });
});
