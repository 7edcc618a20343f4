import { describe, expect, it } from 'vitest';
import { parseTargets, targetChoices } from '../../../../src/host/setup/targets';
import type { TargetableModule } from '../../../../src/lora/adapter';

const linear = (path: string, is_output = false): TargetableModule => ({
  path,
  kind: 'linear',
  in_features: 4,
  out_features: 4,
  is_output,
});
const llama = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) =>
  linear(`model.layers.0.self_attn.${name}`),
);

describe('targetChoices', () => {
  it('offers all, attention, and query and value', () => {
    const modules = [...llama, linear('model.layers.0.mlp.up_proj'), linear('lm_head', true)];
    expect(targetChoices(modules).map((c) => c.target_modules)).toEqual([
      'all-linear',
      ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
      ['q_proj', 'v_proj'],
    ]);
  });

  it('qualifies an attention layer by its parent when a feed-forward layer has the same name', () => {
    const modules = ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map((name) =>
      linear(`transformer.h.0.${name}`),
    );
    expect(targetChoices(modules).map((c) => c.target_modules)).toEqual([
      'all-linear',
      ['c_attn', 'attn.c_proj'],
    ]);
  });
});

it('distinguishes typed names from regular expressions', () => {
  expect(parseTargets(' q_proj, v_proj  attn.c_proj')).toEqual(['q_proj', 'v_proj', 'attn.c_proj']);
  expect(parseTargets('.*layers\\.[0-9]\\..*q_proj')).toBe('.*layers\\.[0-9]\\..*q_proj');
  expect(parseTargets('all-linear')).toBe('all-linear');
  expect(parseTargets('  ')).toBeUndefined();
});
