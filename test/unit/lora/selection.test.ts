import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kindNames, layerOf, targetsFor } from '../../../src/lora/selection';
import { matchTargets } from '../../../src/lora/targets';
import type { TargetableModule } from '../../../src/lora/adapter';

const linear = (path: string, is_output = false): TargetableModule => ({
  path,
  kind: 'linear',
  in_features: 8,
  out_features: 8,
  is_output,
});
const llama = [
  { ...linear('model.embed_tokens'), kind: 'embedding' as const },
  ...[0, 1, 2].flatMap((n) =>
    ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.up_proj'].map((kind) =>
      linear(`model.layers.${n}.${kind}`),
    ),
  ),
  linear('lm_head', true),
];
const gpt2 = [0, 1].flatMap((n) =>
  ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map((kind) =>
    linear(`transformer.h.${n}.${kind}`),
  ),
);
const chosen = (modules: readonly TargetableModule[], expression: RegExp) =>
  new Set(modules.map((m) => m.path).filter((path) => expression.test(path)));

describe('settings for a module selection', () => {
  it('are as short as possible', () => {
    expect(targetsFor(llama, chosen(llama, /_proj/))).toEqual({
      target_modules: 'all-linear',
      layers_to_transform: null,
    });
    expect(targetsFor(llama, chosen(llama, /[qv]_proj/))).toEqual({
      target_modules: ['q_proj', 'v_proj'],
      layers_to_transform: null,
    });
    expect(targetsFor(llama, chosen(llama, /[12]\..*[qv]_proj/))).toEqual({
      target_modules: ['q_proj', 'v_proj'],
      layers_to_transform: [1, 2],
    });
    expect(targetsFor(llama, chosen(llama, /lm_head|embed/))).toEqual({
      target_modules: ['embed_tokens', 'lm_head'],
      layers_to_transform: null,
    });
    expect(targetsFor(gpt2, chosen(gpt2, /attn/))).toEqual({
      target_modules: ['c_attn', 'attn.c_proj'],
      layers_to_transform: null,
    });
  });

  it('list each module if there is no shorter form', () => {
    const paths = ['model.layers.0.self_attn.q_proj', 'model.layers.1.mlp.up_proj'];
    expect(targetsFor(llama, new Set(paths))).toEqual({
      target_modules: paths,
      layers_to_transform: null,
    });
  });

  it('select exactly the chosen modules', () => {
    for (const modules of [llama, gpt2]) {
      fc.assert(
        fc.property(
          fc.subarray(
            modules.map((m) => m.path),
            { minLength: 1 },
          ),
          (paths) => {
            const { matched, unmatched } = matchTargets(
              modules,
              targetsFor(modules, new Set(paths)),
            );
            expect(matched.map((m) => m.path)).toEqual(
              modules.map((m) => m.path).filter((path) => paths.includes(path)),
            );
            expect(unmatched).toEqual([]);
          },
        ),
        { seed: 1, numRuns: 300 },
      );
    }
  });
});

describe('module names', () => {
  it('have a layer or none', () => {
    expect(['model.layers.12.self_attn.q_proj', 'lm_head', 'features.3.conv'].map(layerOf)).toEqual(
      [12, null, null],
    );
  });

  it('use the last part of the path, or two if one is ambiguous', () => {
    expect([...new Set(gpt2.map(kindNames(gpt2)))]).toEqual([
      'c_attn',
      'attn.c_proj',
      'c_fc',
      'mlp.c_proj',
    ]);
  });
});
