import { describe, expect, it } from 'vitest';
import { dataOf, recipeAdvice, type TriedRun } from '../../../../src/shared/advice/recipeAdvice';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const recipeWith = (change: object = {}) =>
  parseRecipe(JSON.stringify({ base: 'b', dataset: 'd.jsonl', ...change }), '/w/lora.json');
const recipe = recipeWith();
const advise = (change: object, rows: number | null = null, runs: readonly TriedRun[] = []) =>
  recipeAdvice(recipeWith(change), { rows, runs });
const run = (rate: number, score: number, change: Partial<TriedRun> = {}): TriedRun => ({
  ...{ base: recipe.base, data: dataOf(recipe), method: 'lora', metric: 'loss', r: 8, ended: 1 },
  ...{ rate, score },
  ...change,
});

describe('advice for a recipe', () => {
  it('has none for one that is as usual', () => {
    expect(advise({}, 1000)).toEqual([]);
  });

  it('knows the rates of LoRA and of full fine-tuning apart', () => {
    expect(advise({ training: { learning_rate: 1e-5 } })).toEqual([
      { kind: 'low rate', rate: 1e-5, suggested: 1e-4 },
    ]);
    expect(advise({ training: { learning_rate: 2e-4, method: 'full' } })).toEqual([
      { kind: 'high rate', rate: 2e-4, suggested: 2e-5 },
    ]);
    expect(advise({ training: { learning_rate: 1e-5, method: 'full' } }, 10)).toEqual([]);
  });

  it('prefers all linear layers to attention alone', () => {
    const kinds = (target_modules: unknown) =>
      advise({ lora: { target_modules } }).map(({ kind }) => kind);
    expect(kinds(['q_proj', 'v_proj'])).toEqual(['attention only']);
    expect(kinds(['layers.0.self_attn.q_proj'])).toEqual(['attention only']);
    expect(kinds(['q_proj', 'down_proj'])).toEqual([]);
    expect(kinds('all-linear')).toEqual([]);
  });

  it('names a usual rank only where the chosen one is far from it', () => {
    const ranks = (r: number, rows: number) =>
      advise({ lora: { r } }, rows).map((own) => (own.kind === 'rank' ? own.suggested : own.kind));
    expect(ranks(4, 50_000)).toEqual([16]);
    expect(ranks(8, 50_000)).toEqual([]);
    expect(ranks(64, 100)).toEqual([4]);
  });

  it('says what was best of the runs on the same data, instead of a rule', () => {
    const runs = [run(1e-4, 0.5), run(1e-3, 0.4, { r: 16 }), run(1e-2, 0.9)];
    expect(advise({ training: { learning_rate: 1e-5 } }, null, runs)).toEqual([
      {
        ...{ kind: 'own runs', runs: 3, rates: 3, rate: 1e-3, r: 16, metric: 'loss', score: 0.4 },
        isOtherData: false,
      },
    ]);
    expect(advise({ training: { learning_rate: 1e-3 } }, null, runs)).toEqual([]);
  });

  it('takes the newest comparison on other data, but not of another base, method or metric', () => {
    const other = (rate: number, score: number, data: string, ended: number) =>
      run(rate, score, { data, ended });
    const runs = [
      ...[other(1e-4, 3, 'old', 1), other(5e-4, 2, 'old', 2)],
      ...[other(1e-4, 9, 'new', 3), other(2e-3, 8, 'new', 4)],
    ];
    expect(advise({}, null, runs)).toMatchObject([{ rate: 2e-3, isOtherData: true }]);
    for (const change of [{ base: 'x' }, { method: 'full' }, { metric: 'perplexity' }] as const)
      expect(
        advise(
          {},
          null,
          runs.map((own) => ({ ...own, ...change })),
        ),
      ).toEqual([]);
    expect(advise({}, null, [run(1e-3, 1), run(1e-3, 2)])).toEqual([]);
  });
});
