import path from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { planAdapter } from '../../../../src/engine/training/plans/adapterPlan';
import { countTrainable } from '../../../../src/lora/count';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { fixtures, readJson, withBase } from '../../../support/models';

const family = path.join(fixtures, 'qwen3_moe');
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

it('all-linear is refused for a mixture of experts, whose experts PEFT would adapt', async () => {
  await expect(planOf({ target_modules: 'all-linear' })).rejects.toMatchObject({
    area: 'recipe',
    place: { key: 'lora.target_modules' },
    fix: 'List layers instead: ["q_proj","k_proj","v_proj","o_proj"].',
  });
});

it.each(['experts', 'per-expert'])('dropout is refused on experts: %s', async (name) => {
  const lora = { init_adapter: folderOf(name), lora_dropout: 0.1 };
  await expect(planOf(lora)).rejects.toMatchObject({ place: { key: 'lora.lora_dropout' } });
});
