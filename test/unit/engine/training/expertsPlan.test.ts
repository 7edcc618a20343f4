import path from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { planAdapter } from '../../../../src/engine/training/plans/adapterPlan';
import { countTrainable } from '../../../../src/lora/count';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { fixtures, readJson, withBase } from '../../../support/models';

const family = path.join(fixtures, 'qwen3_moe');
const EXPERTS = ['experts.gate_up_proj', 'experts.down_proj'];
const folderOf = (name: string) => path.join(family, name, 'adapter');

const planOf = (lora: object) =>
  withBase(path.join(family, 'base'), (base) => {
    const recipe = v.parse(RecipeSchema, { base: 'base', dataset: 'a.jsonl', lora });
    return planAdapter(recipe, base, { info: () => undefined, warn: () => undefined });
  });

it.each(['attn', 'experts', 'all-linear', 'per-expert'])(
  'an adapter of experts has the trainable parameters that PEFT counts: %s',
  async (name) => {
    const { modules, rankOf } = await planOf({ init_adapter: folderOf(name) });
    const expected = readJson('qwen3_moe', name, 'expected.json') as { trainable_params: number };
    expect(countTrainable(modules, rankOf).trainable).toBe(expected.trainable_params);
  },
);

it.each([
  ['all-linear', { target_modules: 'all-linear' }],
  ['experts', { target_modules: ['q_proj', 'v_proj'], target_parameters: EXPERTS }],
] as const)('a new adapter has the parameters that PEFT counts: %s', async (name, targets) => {
  const expected = readJson('qwen3_moe', name, 'expected.json') as { trainable_params: number };
  const { r, lora_alpha } = readJson('qwen3_moe', name, 'adapter/adapter_config.json') as {
    r: number;
    lora_alpha: number;
  };
  const { modules, rankOf } = await planOf({ r, lora_alpha, ...targets });
  expect(countTrainable(modules, rankOf).trainable).toBe(expected.trainable_params);
});

it('layers of experts in a list mean the parameters, as PEFT 0.21 counts', async () => {
  const target_modules = ['q_proj', 'v_proj', 'gate_proj', 'up_proj', 'down_proj'];
  const { modules, rankOf } = await planOf({ r: 2, target_modules });
  expect(countTrainable(modules, rankOf).trainable).toBe(4544);
});

it.each([
  [
    'a regex that names experts',
    { target_modules: '.*\\.(q_proj|gate_proj|up_proj|down_proj)' },
    4256,
  ],
  ['a regex that names routers', { target_modules: '.*\\.(q_proj|gate)' }, 592],
  ['a regex of one layer', { target_modules: '.*layers\\.0\\..*q_proj' }, 416],
  ['rank of gate', { target_modules: 'all-linear', rank_pattern: { gate: 3 } }, 5424],
  [
    'rank of gate.weight',
    { target_modules: 'all-linear', rank_pattern: { 'gate.weight': 3 } },
    5512,
  ],
  [
    'rank of gate_up_proj',
    { target_modules: 'all-linear', rank_pattern: { gate_up_proj: 3 } },
    4720,
  ],
  ['rank of down_proj', { target_modules: 'all-linear', rank_pattern: { down_proj: 3 } }, 5936],
  [
    'some layers',
    { target_modules: ['q_proj', 'gate_proj', 'up_proj'], layers_to_transform: [0] },
    3024,
  ],
  [
    'some layers',
    { target_modules: ['q_proj', 'gate', 'down_proj'], layers_to_transform: [0] },
    1408,
  ],
  ['excluded layers', { target_modules: 'all-linear', exclude_modules: ['k_proj'] }, 5136],
  [
    'excluded experts',
    { target_modules: 'all-linear', exclude_modules: ['gate', 'experts', 'down_proj'] },
    5424,
  ],
  ['a router', { target_modules: ['q_proj', 'mlp.gate'] }, 592],
  ['experts alone', { target_modules: ['gate_proj', 'up_proj', 'down_proj'] }, 3840],
])('PEFT counts as many parameters (rank 2): %s', async (_, lora, expected) => {
  const { modules, rankOf } = await planOf({ r: 2, lora_alpha: 4, ...lora });
  expect(countTrainable(modules, rankOf).trainable).toBe(expected);
});

it.each([
  [{ target_modules: ['gate_proj'] }, /up_proj is not in target_modules/],
  [{ target_modules: 'all-linear', use_dora: true }, /cannot have DoRA/],
  [{ target_modules: 'all-linear', lora_dropout: 0.1 }, /cannot have dropout/],
  [
    { target_parameters: ['q_proj.weight'] },
    /"q_proj.weight" in target_parameters is no parameter/,
  ],
])('what PEFT cannot do on experts is refused: %j', async (lora, message) => {
  await expect(planOf(lora)).rejects.toThrow(message);
});

it('the config has target_parameters, and the factors start as in PEFT', async () => {
  const { create } = await planOf({ r: 2, lora_alpha: 4, target_modules: 'all-linear' });
  const { adapter } = await create();
  const { config, modules } = adapter;
  const targets = config.target_modules as readonly string[];
  expect([...targets].sort()).toEqual(['k_proj', 'o_proj', 'q_proj', 'v_proj']);
  expect(config.raw['target_parameters']).toEqual(['gate.weight', 'gate_up_proj', 'down_proj']);
  expect([config.rank_pattern, config.alpha_pattern]).toEqual([
    { '.*\\.gate_up_proj': 4 },
    { '.*\\.gate_up_proj': 8 },
  ]);
  const own = modules.find(({ path }) => path.endsWith('experts.1.gate_up_proj'))!;
  expect([own.r, own.scaling, own.B.every((b) => b === 0)]).toEqual([4, 2, true]);
  expect(Math.max(...own.A.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(own.in_features));
});

it.each(['experts', 'per-expert'])('dropout is refused on experts: %s', async (name) => {
  const lora = { init_adapter: folderOf(name), lora_dropout: 0.1 };
  await expect(planOf(lora)).rejects.toMatchObject({ place: { key: 'lora.lora_dropout' } });
});

it('a parameter of the whole model is no module to save', async () => {
  const clip = path.join(fixtures, 'clip/base');
  const lora = { target_modules: ['q_proj'], modules_to_save: ['logit_scale'] };
  const recipe = v.parse(RecipeSchema, { base: 'base', dataset: 'a', task: 'contrastive', lora });
  const planned = withBase(clip, (base) =>
    planAdapter(recipe, base, { info: () => undefined, warn: () => undefined }),
  );
  await expect(planned).rejects.toMatchObject({
    message: '"logit_scale" in modules_to_save is not a module of this base.',
    fix: expect.not.stringContaining('logit') as unknown,
  });
});
