import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { modulePathIn } from '../../../../src/formats/architecture/modulePath';
import { modulesOf } from '../../../../src/formats/architecture/modules';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { peftAdapter } from '../../../../src/formats/importedAdapter';
import { withModelNames } from '../../../../src/formats/peft/modelNames';
import type { Adapter, LoraFactors } from '../../../../src/lora/adapter';
import { patternValue } from '../../../../src/lora/patterns';

const TEXT = JSON.parse(
  readFileSync(
    path.resolve(import.meta.dirname, '../../../fixtures/llama/base/config.json'),
    'utf8',
  ),
) as Record<string, unknown>;

const specOf = (config: Record<string, unknown>) => readSpec(config, 'config.json');

function adapterOn(spec: ReturnType<typeof specOf>): Adapter {
  const modules = modulesOf(spec)
    .filter((m) => m.kind === 'linear')
    .map((m): LoraFactors => {
      const r = m.path.endsWith('v_proj') ? 2 : 1;
      const [A, B] = [new Float32Array(r * m.in_features), new Float32Array(r * m.out_features)];
      return { ...m, r, scaling: m.is_output ? 3 : 2, A, B, magnitude: null };
    });
  const bias = {
    name: 'model.layers.0.self_attn.q_proj.bias',
    shape: [1],
    data: new Float32Array(1),
  };
  const adapter = peftAdapter(modules, null);
  return {
    ...adapter,
    config: {
      ...adapter.config,
      target_modules: 'all-linear',
      modules_to_save: ['model.norm', 'score'],
    },
    trained: [bias],
  };
}

describe('the language model of a model for text and images', () => {
  it.each([
    ['llava', 'model.language_model'],
    ['mistral3', 'model.language_model'],
    ['gemma3', 'model.language_model'],
    ['idefics3', 'model.text_model'],
    ['smolvlm', 'model.text_model'],
  ])('of %s is at %s', (model_type, at) => {
    const spec = specOf({ model_type, text_config: TEXT });
    const { config, modules, trained } = withModelNames(adapterOn(spec), spec);
    const paths = modules.map((m) => m.path);
    expect(paths).toContain(`${at}.layers.0.self_attn.q_proj`);
    expect(paths).toContain('lm_head');
    expect(config.target_modules).toEqual(paths);
    expect(config.modules_to_save).toEqual([`${at}.norm`, 'score']);
    expect(trained.map(({ name }) => name)).toEqual([`${at}.layers.0.self_attn.q_proj.bias`]);
    for (const m of modules) {
      expect(patternValue(config.rank_pattern, m.path, config.r, 'rank_pattern')).toBe(m.r);
      const alpha = patternValue(config.alpha_pattern, m.path, config.lora_alpha, 'alpha_pattern');
      expect(alpha / m.r).toBe(m.scaling);
      expect(modulePathIn(spec, m.path)).toBe(m.path.replace(at, 'model'));
    }
  });

  it('has its output layer tied as the whole model says', () => {
    const tied = (own: object) => specOf({ model_type: 'llava', text_config: TEXT, ...own }).head;
    expect(tied({ tie_word_embeddings: false })).toMatchObject({ tied: false });
    expect(tied({ tie_word_embeddings: true })).toMatchObject({ tied: true });
    expect(tied({})).toMatchObject({ tied: TEXT['tie_word_embeddings'] });
  });

  it('is a whole model under its own names', () => {
    const spec = specOf(TEXT);
    const adapter = adapterOn(spec);
    expect(withModelNames(adapter, spec)).toBe(adapter);
  });
});
