import { RE2JS } from 're2js';
import { describe, expect, it, vi } from 'vitest';
import { countTrainable, tooHighRank } from '../../../src/lora/count';
import { patternValue } from '../../../src/lora/patterns';
import { matchTargets } from '../../../src/lora/targets';
import { type TargetableModule, scalingOf } from '../../../src/lora/adapter';

const linear = (path: string, in_features = 8, out_features = 8): TargetableModule => ({
  path,
  kind: 'linear',
  in_features,
  out_features,
  is_output: path === 'lm_head',
});
const modules: TargetableModule[] = [
  {
    path: 'model.embed_tokens',
    kind: 'embedding',
    in_features: 100,
    out_features: 8,
    is_output: false,
  },
  ...[0, 1, 10].flatMap((i) =>
    ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.up_proj'].map((part) =>
      linear(`model.layers.${i}.${part}`),
    ),
  ),
  linear('lm_head', 8, 100),
];
const paths = (settings: Parameters<typeof matchTargets>[1]) =>
  matchTargets(modules, settings).matched.map((m) => m.path);

describe('target_modules', () => {
  it('all-linear selects every linear layer except the output layer', () => {
    expect(paths({ target_modules: 'all-linear' })).toHaveLength(9);
    expect(paths({ target_modules: 'all-linear' })).not.toContain('lm_head');
  });

  it('a list matches whole paths or path suffixes, never parts of names', () => {
    expect(paths({ target_modules: ['q_proj'] })).toHaveLength(3);
    expect(paths({ target_modules: ['proj'] })).toEqual([]);
    expect(paths({ target_modules: ['1.self_attn.q_proj'] })).toEqual([
      'model.layers.1.self_attn.q_proj',
    ]);
    expect(paths({ target_modules: ['embed_tokens', 'lm_head'] })).toEqual([
      'model.embed_tokens',
      'lm_head',
    ]);
  });

  it('a string is a regular expression for the whole path', () => {
    expect(paths({ target_modules: '.*layers\\.[01]\\..*q_proj' })).toEqual([
      'model.layers.0.self_attn.q_proj',
      'model.layers.1.self_attn.q_proj',
    ]);
    expect(paths({ target_modules: 'q_proj' })).toEqual([]);
  });

  it('matches an expression prone to catastrophic backtracking in linear time', () => {
    expect(paths({ target_modules: '((a+)+|(.*)*)*!' })).toEqual([]);
  });

  it('rejects an invalid expression and quotes it', () => {
    expect(() => paths({ target_modules: '(q_proj' })).toThrow(/\(q_proj/);
  });

  it('layers_to_transform keeps the layers with those indices', () => {
    expect(paths({ target_modules: ['q_proj'], layers_to_transform: [1, 10] })).toEqual([
      'model.layers.1.self_attn.q_proj',
      'model.layers.10.self_attn.q_proj',
    ]);
    expect(
      paths({ target_modules: ['q_proj'], layers_to_transform: 0, layers_pattern: 'layers' }),
    ).toEqual(['model.layers.0.self_attn.q_proj']);
  });

  it('layers_to_transform uses the first number of a path, only for suffix matches, and ignores an empty list', () => {
    const experts = [
      linear('model.layers.1.mlp.experts.0.up_proj'),
      linear('model.layers.0.mlp.experts.1.up_proj'),
    ];
    expect(
      matchTargets(experts, { target_modules: ['up_proj'], layers_to_transform: 1 }).matched.map(
        (m) => m.path,
      ),
    ).toEqual(['model.layers.1.mlp.experts.0.up_proj']);
    expect(
      paths({
        target_modules: ['model.layers.0.self_attn.q_proj', 'v_proj'],
        layers_to_transform: [1],
      }),
    ).toEqual(['model.layers.0.self_attn.q_proj', 'model.layers.1.self_attn.v_proj']);
    expect(paths({ target_modules: ['q_proj'], layers_to_transform: [] })).toHaveLength(3);
    expect(
      paths({
        target_modules: ['q_proj', 'lm_head'],
        layers_to_transform: [0],
        layers_pattern: ['h', 'lay.*'],
      }),
    ).toEqual(['model.layers.0.self_attn.q_proj', 'lm_head']);
    expect(
      paths({ target_modules: ['q_proj'], layers_to_transform: [0], layers_pattern: 'h' }),
    ).toEqual([]);
    expect(paths({ target_modules: 'All-Linear', layers_to_transform: [0] })).toHaveLength(9);
  });

  it('exclude_modules removes modules', () => {
    expect(
      paths({ target_modules: ['q_proj', 'v_proj'], exclude_modules: ['v_proj'] }),
    ).toHaveLength(3);
    const all = { target_modules: ['q_proj'] };
    expect(paths({ ...all, exclude_modules: '.*[01]\\..*' })).toEqual([]);
    expect(paths({ ...all, exclude_modules: '.*\\.[01]\\..*' })).toEqual([
      'model.layers.10.self_attn.q_proj',
    ]);
    expect(paths({ ...all, exclude_modules: '' })).toHaveLength(3);
    expect(paths({ target_modules: ['lm_head'], exclude_modules: ['lm_head'] })).toEqual([]);
    expect(matchTargets(modules, { target_modules: 'all-linear' }).unmatched).toEqual([]);
  });

  it('of an unsupported expression names the setting and says what to do', () => {
    expect(() => paths({ target_modules: ['q_proj'], exclude_modules: '(?!q).*' })).toThrow(
      expect.objectContaining({
        area: 'recipe',
        message: expect.stringContaining('"exclude_modules"') as unknown,
        fix: expect.stringContaining('exclude_modules') as unknown,
      }) as Error,
    );
    expect(() => paths({ target_modules: '(' })).toThrow(/"target_modules"/);
    const layers = { layers_to_transform: 1, layers_pattern: '(' };
    expect(() => paths({ target_modules: ['q_proj'], ...layers })).toThrow(/"layers_pattern"/);
  });

  it('suggests the nearest known name for names without a match', () => {
    expect(matchTargets(modules, { target_modules: ['q_prj', 'v_proj'] }).unmatched).toEqual([
      { name: 'q_prj', nearest: 'q_proj' },
    ]);
  });
});

describe('ranks', () => {
  it('trains r·(in + out) parameters of a layer instead of in·out', () => {
    expect(countTrainable([linear('a', 576, 576)], 8)).toEqual({
      modules: 1,
      trainable: 2 * 576 * 8,
      full: 576 * 576,
    });
  });

  it('finds modules for which the rank is too high to be low-rank', () => {
    expect(tooHighRank([linear('a', 6, 100)], 6)).toEqual([]);
    expect(tooHighRank([linear('a', 8, 100), linear('b', 4, 100)], 6).map((m) => m.path)).toEqual([
      'b',
    ]);
  });

  it('scales by alpha / r, by alpha / √r in rsLoRA', () => {
    expect(scalingOf(8, 16, false)).toBe(2);
    expect(scalingOf(16, 16, true)).toBe(4);
  });

  it("applies a rank pattern that matches the end of a module's path", () => {
    const pattern = { 'layers\\.1\\..*q_proj': 2, v_proj: 3 };
    expect(patternValue(pattern, 'model.layers.1.self_attn.q_proj', 8, 'rank_pattern')).toBe(2);
    expect(patternValue(pattern, 'model.layers.10.self_attn.q_proj', 8, 'rank_pattern')).toBe(8);
    expect(patternValue(pattern, 'model.layers.0.self_attn.v_proj', 8, 'rank_pattern')).toBe(3);
    expect(patternValue({ proj: 3 }, 'model.layers.0.self_attn.v_proj', 8, 'rank_pattern')).toBe(8);
  });

  it('names the pattern that holds an invalid key, as it is written', () => {
    for (const key of ['rank_pattern', 'alpha_pattern'] as const)
      expect(() => patternValue({ '(?!x)': 2 }, 'a', 8, key)).toThrow(
        `"${key}" is not a supported regular expression: (?!x) (`,
      );
  });

  it('compiles its keys once for all modules', () => {
    const compile = vi.spyOn(RE2JS, 'compile');
    const pattern = Object.fromEntries(
      Array.from({ length: 50 }, (_, i) => [`layers\\.${i}\\..*`, i + 1]),
    );
    for (let i = 0; i < 60; i++)
      expect(patternValue(pattern, `model.layers.${i}.q_proj`, 99, 'rank_pattern')).toBe(
        i < 50 ? i + 1 : 99,
      );
    expect(compile).toHaveBeenCalledTimes(50);
    compile.mockRestore();
  });
});
