import path from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { planAdapter } from '../../../../src/engine/training/plans/adapterPlan';
import type { ReadSpecOptions } from '../../../../src/formats/architecture/readSpec';
import { startAdapter } from '../../../../src/engine/training/startAdapter';
import type { AdapterConfig } from '../../../../src/lora/adapter';
import { isNamed } from '../../../../src/lora/targets';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { fixtures, withBase } from '../../../support/models';

interface Planned {
  readonly paths: readonly string[];
  readonly infos: readonly string[];
  readonly warnings: readonly string[];
  /** Of adapter_config.json. */
  readonly written: AdapterConfig['target_modules'];
}

function planOf(family: string, lora: object, task?: ReadSpecOptions['task']): Promise<Planned> {
  const use = async (base: Parameters<typeof planAdapter>[1]): Promise<Planned> => {
    const recipe = v.parse(RecipeSchema, { base: 'base', dataset: 'a.jsonl', lora });
    const [infos, warnings]: [string[], string[]] = [[], []];
    const { modules } = await planAdapter(recipe, base, {
      info: (message) => infos.push(message),
      warn: (message) => warnings.push(message),
    });
    const { adapter } = await startAdapter(base, modules, recipe);
    const written = adapter.config.target_modules;
    return { paths: modules.map((m) => m.path), infos, warnings, written };
  };
  return withBase(path.join(fixtures, family, 'base'), use, { ...(task && { task }) });
}

/** Of the layers that PEFT 0.21 adapts, that on which no gradient depends. */
it.each([
  ['bert', 'all-linear', 'embedding', 'pooler.dense'],
  ['bert', ['dense'], 'embedding', 'pooler.dense'],
  ['bert', ['query', 'pooler.dense'], 'embedding', 'pooler.dense'],
  ['mpnet', 'all-linear', 'embedding', 'pooler.dense'],
  ['siglip', 'all-linear', undefined, 'vision_model.head.attention.out_proj'],
  ['siglip', ['q_proj', 'out_proj'], undefined, 'vision_model.head.attention.out_proj'],
] as const)(
  'a layer without effect is left out by name: %s %j',
  async (family, targets, task, own) => {
    const { paths, infos, warnings, written } = await planOf(
      family,
      { target_modules: targets },
      task,
    );
    expect(paths).not.toContain(own);
    // else PEFT makes factors for it, and misses them in the file
    expect(typeof written === 'string' || written.some((name) => isNamed(own, name))).toBe(false);
    expect(
      paths.every(
        (path) => typeof written !== 'string' && written.some((name) => isNamed(path, name)),
      ),
    ).toBe(true);
    expect(infos).toContain(
      `${own}, which PEFT adapts too, gets no update: nothing that is trained depends on it.`,
    );
    expect(warnings).toEqual([]);
  },
);

it.each([
  ['bert', ['query', 'value'], 'embedding'],
  ['siglip', ['q_proj', 'v_proj'], undefined],
  ['deberta-v2', 'all-linear', undefined],
] as const)('no layer is left out of %s %j', async (family, target_modules, task) => {
  const { infos } = await planOf(family, { target_modules }, task);
  expect(infos.filter((message) => message.includes('gets no update'))).toEqual([]);
});

it.each([
  ['mpnet', ['q', 'relative_attention_bias'], 'encoder.relative_attention_bias'],
  ['mpnet', ['relative_attention_bias'], 'encoder.relative_attention_bias'],
  ['mpnet', '.*(\\.q|bias)', 'encoder.relative_attention_bias'],
  ['deberta-v2', ['query_proj', 'rel_embeddings'], 'deberta.encoder.rel_embeddings'],
  ['siglip', ['q_proj', 'position_embedding'], 'text_model.embeddings.position_embedding'],
  ['gpt2', ['c_attn', 'wpe'], 'transformer.wpe'],
  ['qwen3-vl-images', ['qkv', 'pos_embed'], 'model.visual.pos_embed'],
  ['bert', ['query', 'token_type_embeddings'], 'bert.embeddings.token_type_embeddings'],
] as const)(
  'an embedding layer without LoRA is refused by name: %s %j',
  async (family, targets, own) => {
    await expect(planOf(family, { target_modules: targets })).rejects.toThrow(
      `target_modules includes ${own}, an embedding layer on which LoRA is not supported.`,
    );
  },
);

it('an excluded embedding layer is no fault', async () => {
  const { paths } = await planOf('gpt2', {
    target_modules: ['c_attn', 'wpe'],
    exclude_modules: ['wpe'],
  });
  expect(paths).toHaveLength(2);
});
