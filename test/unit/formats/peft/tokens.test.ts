import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../../../src/formats/openBase';
import { adapterBaseOf, type AdapterBase } from '../../../../src/formats/peft/againstBase';
import { roleOf } from '../../../../src/formats/peft/names';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { fillAdapterFolder } from '../../../../src/formats/peft/write';
import type { Adapter, TokenIndices } from '../../../../src/lora/adapter';
import { fixtures } from '../../../support/models';
import { temp } from '../../../support/temp';

const adapterOf = (name: string) => path.join(fixtures, 'tokens', name, 'adapter');

async function baseOf(name: string): Promise<AdapterBase> {
  const base = await openBase(path.join(fixtures, name, 'base'));
  await base.close();
  return adapterBaseOf(base);
}

/** A copy of an adapter of the fixtures whose config names other tokens. */
function withIndices(name: string, trainable_token_indices: unknown): string {
  const folder = path.join(temp(), 'adapter');
  cpSync(adapterOf(name), folder, { recursive: true });
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, trainable_token_indices }));
  return folder;
}

it('reads rows with their tokens, without a base, too', async () => {
  const { adapter } = await readPeftAdapter(adapterOf('untied-both'));
  expect(adapter.trained.map(({ name, rows, shape }) => [name, rows, shape[0]])).toEqual([
    ['lm_head.weight', [3, 50], 2],
    ['model.embed_tokens.weight', [7, 3, 40], 3],
  ]);
});

it('reads the rows once that PEFT saves twice for a tied output layer', async () => {
  const { adapter } = await readPeftAdapter(adapterOf('resized-tied'));
  expect(adapter.trained.map(({ name }) => name)).toEqual(['model.embed_tokens.weight']);
});

it('knows the frozen weight of a layer with rows', () => {
  expect(roleOf('base_model.model.model.embed_tokens.token_adapter.base_layer.weight')).toEqual({
    role: 'base',
    path: 'model.embed_tokens',
  });
});

describe('an adapter with rows of tokens is refused', () => {
  it.each<[string, TokenIndices | string | null, RegExp]>([
    ['tied-list', [7, 3], /must have 2 rows, one for each token/],
    ['tied-list', null, /adapter_config.json names none of model.embed_tokens/],
    ['tied-list', { lm_head: [7, 3, 40] }, /names none of model.embed_tokens/],
    ['tied-list', [7, 3, 3], /"trainable_token_indices" must name each token once/],
    ['tied-list', [7, 3, -1], /must be at least 0/],
    ['tied-list', 'all', /must be a list of tokens/],
  ])('where its file and config differ: %s, %j', async (name, indices, message) => {
    await expect(readPeftAdapter(withIndices(name, indices))).rejects.toThrow(message);
  });

  it.each<[string, TokenIndices, string, RegExp]>([
    ['tied-list', [7, 3, 384], 'llama', /token 384/],
    ['untied-both', { 'model.embed_tokens': [7, 3, 40], lm_head: [3, 50] }, 'llama', /lm_head has/],
    ['untied-head', { lm_head: [3, 50] }, 'llama', /lm_head has the weight of/],
    ['untied-head', [3, 50], 'llama3', /file has no rows of them/],
    ['tied-both', { embed_tokens: [7, 3, 40], lm_head: [7, 3, 40] }, 'llama3', /tokens of lm_head/],
  ])('where the base differs: %s, %j on %s', async (name, indices, base, message) => {
    const folder = withIndices(name, indices);
    await expect(readPeftAdapter(folder, await baseOf(base))).rejects.toThrow(message);
  });

  it('where LoRA or a whole tensor changes the same layer', async () => {
    const base = await baseOf('llama');
    const { adapter } = await readPeftAdapter(adapterOf('tied-list'), base);
    const [first] = adapter.modules;
    const both = async (change: Partial<Adapter>) => {
      const folder = temp();
      const facts = { task: 'causal_lm', labels: null, card: '' } as const;
      await fillAdapterFolder(folder, { ...adapter, ...change }, facts);
      return readPeftAdapter(folder, base);
    };
    const vocab = base.tokens!.vocab_size;
    const d = first!.in_features;
    const lora = {
      ...{ ...first!, path: 'model.embed_tokens', kind: 'embedding' as const },
      ...{ in_features: vocab, out_features: d },
      A: new Float32Array(first!.r * vocab),
      B: new Float32Array(first!.r * d),
    };
    const target_modules = ['q_proj', 'v_proj', 'embed_tokens'];
    await expect(
      both({
        config: { ...adapter.config, target_modules },
        modules: [...adapter.modules, lora],
      }),
    ).rejects.toThrow(/cannot be combined with LoRA on model.embed_tokens/);
    const whole = {
      name: 'model.embed_tokens.weight',
      shape: [vocab, d],
      data: new Float32Array(vocab * d),
    };
    await expect(
      both({
        config: { ...adapter.config, modules_to_save: ['embed_tokens'] },
        trained: [...adapter.trained, whole],
      }),
    ).rejects.toThrow(/cannot be combined with model.embed_tokens in modules_to_save/);
  });

  it('unless what does not fit may be left out', async () => {
    const folder = withIndices('tied-list', [7, 3, 384]);
    const { adapter, warnings } = await readPeftAdapter(folder, await baseOf('llama'), {
      partial: true,
    });
    expect(adapter.trained).toEqual([]);
    expect(adapter.config.trainable_token_indices).toBeNull();
    expect(warnings.some(({ message }) => message.includes('left out'))).toBe(true);
  });
});
