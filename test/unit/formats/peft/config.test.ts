import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAdapterConfig } from '../../../../src/formats/peft/config';
import { adapterConfigText } from '../../../../src/formats/peft/configText';
import { temp } from '../../../support/temp';

const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj'] };

function fileOf(changes: object): string {
  const file = path.join(temp(), 'adapter_config.json');
  writeFileSync(file, JSON.stringify({ ...CONFIG, ...changes }));
  return file;
}

describe('a setting of an adapter', () => {
  it('has a default unless it is needed', async () => {
    expect(await readAdapterConfig(fileOf({}))).toEqual({
      r: 2,
      lora_alpha: 4,
      lora_dropout: 0,
      target_modules: ['q_proj'],
      use_rslora: false,
      use_dora: false,
      bias: 'none',
      modules_to_save: null,
      fan_in_fan_out: false,
      base_model_name_or_path: null,
      layers_to_transform: null,
      layers_pattern: null,
      rank_pattern: {},
      alpha_pattern: {},
      exclude_modules: null,
      trainable_token_indices: null,
      raw: CONFIG,
    });
  });

  it.each([
    [{ r: 1 }],
    [{ lora_alpha: 0.5 }],
    [{ lora_dropout: 1 }],
    [{ target_modules: '.*proj' }],
    [{ exclude_modules: ['(not an expression'] }],
    [{ target_modules: ['(not an expression'] }],
    [{ use_rslora: true, use_dora: true, fan_in_fan_out: true }],
    [{ bias: 'all' }],
    [{ bias: 'lora_only' }],
    [{ modules_to_save: ['score'] }],
    [{ layers_to_transform: 3 }],
    [{ layers_to_transform: [1, 2] }],
    [{ layers_pattern: 'h' }],
    [{ layers_pattern: ['h', 'layers'] }],
    [{ rank_pattern: { 'q.*': 8 }, alpha_pattern: { 'q.*': 0.5 } }],
    [{ exclude_modules: '.*k_proj' }],
  ])('may be %j', async (changes) => {
    expect(await readAdapterConfig(fileOf(changes))).toMatchObject(changes);
  });

  it.each<[object, string, string]>([
    [{ r: 0 }, 'r', '"r" must be at least 1, not 0'],
    [{ r: 'x' }, 'r', '"r" must be a number, not "x"'],
    [{ r: 1.5 }, 'r', '"r" must be a whole number, not 1.5'],
    [{ lora_alpha: '4' }, 'lora_alpha', '"lora_alpha" must be a number, not "4"'],
    [{ lora_alpha: 0 }, 'lora_alpha', '"lora_alpha" must be above 0, not 0'],
    [{ lora_alpha: undefined }, 'lora_alpha', '"lora_alpha" is missing'],
    [{ lora_dropout: 'x' }, 'lora_dropout', '"lora_dropout" must be a number, not "x"'],
    [{ lora_dropout: -0.5 }, 'lora_dropout', '"lora_dropout" must be at least 0, not -0.5'],
    [{ lora_dropout: 1.5 }, 'lora_dropout', '"lora_dropout" must be at most 1, not 1.5'],
    [
      { target_modules: 7 },
      'target_modules',
      '"target_modules" must be a name, an expression or a list of names, not 7',
    ],
    [{ use_rslora: 1 }, 'use_rslora', '"use_rslora" must be true or false, not 1'],
    [{ use_dora: 1 }, 'use_dora', '"use_dora" must be true or false, not 1'],
    [{ fan_in_fan_out: 1 }, 'fan_in_fan_out', '"fan_in_fan_out" must be true or false, not 1'],
    [{ bias: 'some' }, 'bias', '"bias" must be "none", "all" or "lora_only", not "some"'],
    [
      { modules_to_save: 'x' },
      'modules_to_save',
      '"modules_to_save" must be a list of names, not "x"',
    ],
    [
      { layers_to_transform: 'x' },
      'layers_to_transform',
      '"layers_to_transform" must be a layer or a list of layers, not "x"',
    ],
    [{ rank_pattern: { a: 0 } }, 'rank_pattern.a', '"rank_pattern.a" must be at least 1, not 0'],
    [{ alpha_pattern: { a: 0 } }, 'alpha_pattern.a', '"alpha_pattern.a" must be above 0, not 0'],
    [
      { base_model_name_or_path: 7 },
      'base_model_name_or_path',
      '"base_model_name_or_path" must be a string, not 7',
    ],
  ])('may not be %j', async (changes, key, what) => {
    const file = fileOf(changes);
    await expect(readAdapterConfig(file)).rejects.toMatchObject({
      area: 'adapter',
      message: `The adapter's config is not usable: ${what}.`,
      fix: 'Correct the file, or copy or download the adapter again.',
      place: { file, key },
    });
  });

  it.each([
    [{ target_modules: '(' }, 'target_modules'],
    [{ exclude_modules: '(' }, 'exclude_modules'],
    [{ layers_pattern: ['('] }, 'layers_pattern'],
    [{ rank_pattern: { '(': 1 } }, 'rank_pattern'],
    [{ alpha_pattern: { '(': 1 } }, 'alpha_pattern'],
  ])('may not hold an invalid expression: %j', async (changes, key) => {
    const file = fileOf(changes);
    await expect(readAdapterConfig(file)).rejects.toMatchObject({
      area: 'adapter',
      message: expect.stringContaining(
        `"${key}" is not a supported regular expression: (`,
      ) as string,
      fix: expect.stringContaining('list names') as string,
      place: { file, key },
    });
  });
});

describe('a variant of LoRA', () => {
  it.each<[string, unknown, string]>([
    ['lora_bias', true, 'LoRA with a bias'],
    ['target_parameters', ['a'], 'target_parameters of other parts than experts'],
    ['layer_replication', [[0, 1]], 'layer replication'],
    ['alora_invocation_tokens', [5], 'activated LoRA'],
    ['use_qalora', true, 'QA-LoRA'],
    ['use_bdlora', true, 'block-diagonal LoRA'],
    ['arrow_config', {}, 'arrow routing'],
    ['kasa_config', {}, 'KaSA'],
    ['monteclora_config', {}, 'MonteCLoRA'],
    [
      'init_lora_weights',
      'PiSSA_niter_16',
      "an initialization that changes the base model's weights (init_lora_weights)",
    ],
  ])('is refused by its name: %s = %j', async (key, value, name) => {
    const file = fileOf({ [key]: value });
    await expect(readAdapterConfig(file)).rejects.toMatchObject({
      area: 'adapter',
      message: `The adapter uses ${name}, which is not supported.`,
      fix: 'Merge it into its base with PEFT, or train a LoRA, rsLoRA or DoRA adapter instead.',
      place: { file, key },
    });
  });

  it.each([
    { lora_bias: false, use_qalora: null, use_bdlora: false, target_parameters: [] },
    { kasa_config: null, arrow_config: null, monteclora_config: null, layer_replication: null },
    { init_lora_weights: 'olora_x' },
    { init_lora_weights: 'a_pissa' },
    { init_lora_weights: true },
  ])('is not used by %j', async (changes) => {
    expect((await readAdapterConfig(fileOf(changes))).r).toBe(2);
  });

  it('of another type is refused', async () => {
    for (const [peft_type, what] of [
      [undefined, 'does not say its type: peft_type is missing'],
      ['IA3', 'is of the type "IA3"'],
    ]) {
      const file = fileOf({ peft_type });
      await expect(readAdapterConfig(file)).rejects.toMatchObject({
        area: 'adapter',
        message: `The adapter ${what}. Only LoRA adapters can be used.`,
        fix: 'Merge such an adapter into its base with the tool that made it, or train a LoRA adapter instead.',
        place: { file, key: 'peft_type' },
      });
    }
  });
});

describe('the text of a config', () => {
  it("has PEFT's keys, sorted, and floats with a point", async () => {
    const config = await readAdapterConfig(fileOf({ task_type: 'SEQ_CLS', revision: 'é😀' }));
    const text = adapterConfigText(config, null);
    const parsed = JSON.parse(text) as Record<string, unknown>;
    expect(Object.keys(parsed)).toEqual(Object.keys(parsed).sort());
    expect(parsed).toMatchObject({
      peft_type: 'LORA',
      task_type: 'SEQ_CLS',
      inference_mode: true,
      revision: 'é😀',
      megatron_core: 'megatron.core',
      peft_version: '0.21.2',
      qalora_group_size: 16,
      init_lora_weights: true,
      loftq_config: {},
    });
    expect(text).toContain('\n  "lora_dropout": 0.0,\n');
    expect(text).toContain('"revision": "\\u00e9\\ud83d\\ude00"');
    const half = { ...config, lora_dropout: 0.5, raw: {} };
    expect(adapterConfigText(half, null)).toContain('\n  "lora_dropout": 0.5,\n');
    expect(adapterConfigText(half, null)).toContain('\n  "task_type": null,\n');
    expect(adapterConfigText({ ...config, lora_dropout: 10 }, 'CAUSAL_LM')).toContain(
      '\n  "lora_dropout": 10.0,\n',
    );
    expect(adapterConfigText(config, 'CAUSAL_LM')).toContain('"task_type": "CAUSAL_LM"');
  });
});
