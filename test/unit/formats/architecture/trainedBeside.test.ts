import path from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { planAdapter } from '../../../../src/engine/training/plans/adapterPlan';
import { trainedBeside, withBiases } from '../../../../src/formats/architecture/trainedBeside';
import type { ReadSpecOptions } from '../../../../src/formats/architecture/readSpec';
import { trainedNumbers } from '../../../../src/lora/count';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { fixtures, withBase } from '../../../support/models';

const hooks = { info: () => undefined, warn: () => undefined };
const linear = { target_modules: 'all-linear' };

/** The counts of a recipe, and the numbers of the adapter that its training starts with. */
function countsOf(family: string, lora: object, options: ReadSpecOptions) {
  return withBase(
    path.join(fixtures, family, 'base'),
    async (base) => {
      const own = { ...linear, ...lora };
      const recipe = v.parse(RecipeSchema, { base: 'base', dataset: 'a.jsonl', lora: own });
      const { modules, rankOf, use_dora, besides, trained, create } = await planAdapter(
        recipe,
        base,
        hooks,
      );
      const { adapter } = await create();
      const factors = adapter.modules.flatMap(({ A, B, magnitude }) => [A, B, magnitude ?? []]);
      const lengths = (arrays: readonly ArrayLike<number>[]) =>
        arrays.reduce((sum, { length }) => sum + length, 0);
      const ofRows = adapter.trained.filter(({ rows }) => rows);
      const whole = adapter.trained.filter(({ rows }) => !rows);
      return {
        counted: trainedNumbers({ modules, ranks: rankOf, use_dora, besides }),
        created: lengths(factors) + lengths(adapter.trained.map(({ data }) => data)),
        besides,
        expected: {
          whole: lengths(whole.map(({ data }) => data)),
          rows: lengths(ofRows.map(({ data }) => data)),
          largest: Math.max(0, ...whole.map(({ data }) => data.length)),
        },
        names: [new Set(trained), new Set(adapter.trained.map(({ name }) => name))],
        ofPages: withBiases(trainedBeside(base, recipe.lora), modules),
        tensors: adapter.trained.length,
      };
    },
    options,
  );
}

const seq_cls: ReadSpecOptions = { task: 'seq_cls', num_labels: 5, new_head: true };

it.each<readonly [string, object, ReadSpecOptions, boolean]>([
  ['llama', {}, {}, false],
  ['llama', { modules_to_save: ['lm_head'] }, {}, true],
  ['llama', { modules_to_save: ['embed_tokens', 'norm'] }, {}, false],
  ['llama', { modules_to_save: ['down_proj'] }, {}, false],
  ['llama', { trainable_token_indices: [3, 5, 7] }, {}, false],
  ['llama', { trainable_token_indices: { embed_tokens: [1, 2], lm_head: [1, 2] } }, {}, false],
  ['llama', { use_dora: true }, {}, false],
  ['llama', seq_cls, seq_cls, false],
  ['qwen2', { bias: 'lora_only', target_modules: ['q_proj'] }, {}, false],
  ['qwen2', { bias: 'all', modules_to_save: ['q_proj'], use_dora: true }, {}, false],
  ['gpt2', { target_modules: ['c_attn'], use_dora: true, bias: 'lora_only' }, {}, false],
  ['roberta', {}, seq_cls, false],
  ['roberta', { use_dora: true, bias: 'all' }, seq_cls, false],
  ['modernbert', {}, seq_cls, false],
])(
  'counts the numbers of %s that train with %j: those of the adapter that training starts with',
  async (family, lora, options, output) => {
    const own = await countsOf(family, 'task' in lora ? {} : lora, options);
    expect(own.counted).toBe(own.created);
    expect(own.besides).toMatchObject({ ...own.expected, output });
    expect(own.ofPages).toMatchObject({ ...own.expected, output, tensors: own.tensors });
    expect(own.names[0]).toEqual(own.names[1]);
  },
);
