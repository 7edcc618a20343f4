import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AdapterBase } from '../../../../src/formats/peft/againstBase';
import { modelCard } from '../../../../src/formats/peft/card';
import { readAdapterConfig } from '../../../../src/formats/peft/config';
import { adapterConfigText } from '../../../../src/formats/peft/configText';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { LoraError } from '../../../../src/shared/errors';
import { temp } from '../../../support/temp';

const CONFIG = {
  peft_type: 'LORA',
  r: 2,
  lora_alpha: 4,
  target_modules: ['q_proj'],
  bias: 'none',
  base_model_name_or_path: 'base',
};
const PREFIX = 'base_model.model.model.layers';
const matrix = (
  name: string,
  rows: number,
  columns: number,
  dtype: 'F32' | 'F16' = 'F32',
): TensorToWrite => ({
  name,
  dtype,
  shape: [rows, columns],
  data:
    dtype === 'F32'
      ? new Float32Array(rows * columns).fill(0.5)
      : new Uint16Array(rows * columns).fill(0x3800),
});
const pair = (module: string, dtype?: 'F16') => [
  matrix(`${module}.lora_A.weight`, 2, 3, dtype),
  matrix(`${module}.lora_B.weight`, 4, 2, dtype),
];
const base = (...paths: string[]): AdapterBase => ({
  names: ['base'],
  modules: paths.map((p) => ({
    path: p,
    kind: 'linear',
    in_features: 3,
    out_features: 4,
    is_output: false,
  })),
});

async function adapter(
  changes: object = {},
  tensors: TensorToWrite[] = pair(`${PREFIX}.0.self_attn.q_proj`),
): Promise<string> {
  const folder = temp();
  writeFileSync(
    path.join(folder, 'adapter_config.json'),
    JSON.stringify({ ...CONFIG, ...changes }),
  );
  await writeSafetensors(path.join(folder, 'adapter_model.safetensors'), tensors);
  return folder;
}

describe('an adapter beyond plain LoRA', () => {
  it.each([
    ['bias', 'some'],
    ['target_parameters', ['experts']],
    ['trainable_token_indices', [1]],
    ['trainable_token_indices', { embed: [1] }],
    ['layer_replication', [[0, 1]]],
    ['alora_invocation_tokens', [5]],
    ['use_qalora', true],
    ['use_bdlora', { nblocks: 2 }],
    ['lora_bias', true],
    ['kasa_config', {}],
    ['arrow_config', {}],
    ['monteclora_config', {}],
    ['init_lora_weights', 'pissa'],
    ['init_lora_weights', 'pissa_niter_4'],
    ['init_lora_weights', 'olora'],
    ['init_lora_weights', 'loftq'],
    ['init_lora_weights', 'lora_ga'],
  ])('is rejected for %s = %j', async (key, value) => {
    await expect(readPeftAdapter(await adapter({ [key]: value }))).rejects.toMatchObject({
      area: 'adapter',
      place: { key, file: expect.stringContaining('adapter_config.json') as string },
    });
  });

  it.each([
    ['init_lora_weights', 'gaussian'],
    ['init_lora_weights', 'eva'],
    ['init_lora_weights', false],
    ['modules_to_save', []],
    ['modules_to_save', null],
    ['use_rslora', null],
    ['velora_config', {}],
  ])('is accepted if %s = %j has no effect', async (key, value) => {
    expect((await readPeftAdapter(await adapter({ [key]: value }))).warnings).toEqual([]);
  });
});

describe("an adapter's config", () => {
  it.each([
    [{ r: 2.5 }, /"r" must be a whole number, not 2.5/],
    [{ r: -1 }, /at least 1/],
    [{ r: undefined }, /"r" is missing/],
    [{ lora_alpha: 0 }, /"lora_alpha" must be above 0/],
    [{ lora_alpha: -8 }, /above 0/],
    [{ lora_dropout: 2 }, /"lora_dropout" must be/],
    [{ target_modules: null }, /"target_modules" must be a name/],
    [{ target_modules: [1] }, /target_modules/],
    [{ rank_pattern: { a: 0 } }, /"rank_pattern.a"/],
    [{ target_modules: '(' }, /regular expression/],
    [{ exclude_modules: '[' }, /"exclude_modules" is not a supported regular/],
    [{ rank_pattern: { '(': 2 } }, /regular expression/],
    [{ layers_pattern: ['h', '('] }, /"layers_pattern" is not a supported regular/],
    [{ rank_pattern: { '(?!x).*': 2 } }, /regular expression/],
  ])('is rejected for %j', async (changes, message) => {
    await expect(readPeftAdapter(await adapter(changes))).rejects.toThrow(message);
  });

  it('needs only the keys of the oldest PEFT versions', async () => {
    const { adapter: read } = await readPeftAdapter(await adapter());
    expect(read.config).toMatchObject({
      lora_dropout: 0,
      use_rslora: false,
      rank_pattern: {},
      layers_to_transform: null,
      raw: CONFIG,
    });
    expect(read.modules[0]).toMatchObject({
      path: 'model.layers.0.self_attn.q_proj',
      r: 2,
      in_features: 3,
      out_features: 4,
      scaling: 2,
    });
  });

  it("keeps unknown keys and is ASCII like PEFT's", async () => {
    const config = await readAdapterConfig(
      path.join(
        await adapter({
          some_new_key: { z: 1 },
          base_model_name_or_path: 'größe',
          revision: 'main',
        }),
        'adapter_config.json',
      ),
    );
    const text = adapterConfigText(config, 'CAUSAL_LM');
    expect(text).toContain('"base_model_name_or_path": "gr\\u00f6\\u00dfe"');
    expect(JSON.parse(text)).toMatchObject({
      some_new_key: { z: 1 },
      revision: 'main',
      base_model_name_or_path: 'größe',
      task_type: 'CAUSAL_LM',
    });
  });

  it('gives an adapter or a LoraError for arbitrary JSON', async () => {
    const folder = await adapter();
    const file = path.join(folder, 'adapter_config.json');
    const keys = Object.keys(
      JSON.parse(
        readFileSync(
          path.resolve(
            import.meta.dirname,
            '../../../fixtures/llama/lora-qv/adapter/adapter_config.json',
          ),
          'utf8',
        ),
      ) as object,
    );
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
        async (changes) => {
          writeFileSync(file, JSON.stringify({ ...CONFIG, ...changes }));
          const result: unknown = await readPeftAdapter(folder).catch((error: unknown) => error);
          if (result instanceof Error) expect(result).toBeInstanceOf(LoraError);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("an adapter's tensors", () => {
  it('are recognised with or without the adapter name and the prefix', async () => {
    for (const names of ['lora_A.weight', 'lora_A.default.weight', 'lora_A.my_run.weight']) {
      for (const prefix of ['base_model.model.', '']) {
        const at = (factor: string) =>
          `${prefix}model.layers.0.self_attn.q_proj.${names.replace('A', factor)}`;
        const { adapter: read } = await readPeftAdapter(
          await adapter({}, [matrix(at('A'), 2, 3), matrix(at('B'), 4, 2)]),
        );
        expect(read.modules.map((m) => m.path)).toEqual(['model.layers.0.self_attn.q_proj']);
      }
    }
  });

  it('are rejected if a file has two adapters', async () => {
    const module = `${PREFIX}.0.self_attn.q_proj`;
    await expect(
      readPeftAdapter(
        await adapter({}, [...pair(module), matrix(`${module}.lora_A.default.weight`, 2, 3)]),
      ),
    ).rejects.toThrow(/more than one lora_A/);
    await expect(
      readPeftAdapter(
        await adapter({}, [...pair(module), matrix(`${module}.lora_embedding_A`, 2, 3)]),
      ),
    ).rejects.toThrow(/more than one lora_A/);
  });

  it('are widened from half precision', async () => {
    const { adapter: read } = await readPeftAdapter(
      await adapter({}, pair(`${PREFIX}.0.self_attn.q_proj`, 'F16')),
    );
    expect([...read.modules[0]!.A]).toEqual(Array.from({ length: 6 }, () => 0.5));
  });

  it('are ignored with a warning outside target_modules, as in PEFT', async () => {
    const folder = await adapter({}, [
      ...pair(`${PREFIX}.0.self_attn.q_proj`),
      ...pair(`${PREFIX}.0.self_attn.k_proj`),
    ]);
    const { adapter: read, warnings } = await readPeftAdapter(
      folder,
      base('model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.k_proj'),
    );
    expect(read.modules.map((m) => m.path)).toEqual(['model.layers.0.self_attn.q_proj']);
    expect(warnings.map((w) => w.message)).toEqual([
      expect.stringMatching(/^model\.layers\.0\.self_attn\.k_proj has tensors/),
    ]);
  });

  it("must match the kind of the base's module", async () => {
    const embedding = [
      matrix('base_model.model.model.q_proj.lora_embedding_A', 2, 3),
      matrix('base_model.model.model.q_proj.lora_embedding_B', 4, 2),
    ];
    await expect(
      readPeftAdapter(await adapter({}, embedding), base('model.q_proj')),
    ).rejects.toThrow(/as "embedding", but it is "linear" in the base/);
  });

  it('fit the same base under any name', async () => {
    const warned = async (name: string, names: string[]) =>
      (
        await readPeftAdapter(await adapter({ base_model_name_or_path: name }), {
          ...base('model.layers.0.self_attn.q_proj'),
          names,
        })
      ).warnings.length;
    expect(
      await warned('HuggingFaceTB/SmolLM2-135M-Instruct', [
        '/models/SmolLM2-135M-Instruct.Q4_1.gguf',
      ]),
    ).toBe(0);
    expect(await warned('/home/me/llama', ['owner/other', '/models/llama/'])).toBe(0);
    expect(await warned('owner/qwen', ['owner/llama', '/models/llama'])).toBe(1);
  });
});

describe('a model card', () => {
  it('has valid front matter for any base name', () => {
    const card = modelCard({
      task: 'causal_lm',
      labels: [],
      frozen_adapters: [],
      base: { title: 'a: "b"', hub: 'a: "b"', name_or_path: 'a', gguf_file: null },
      r: 8,
      lora_alpha: 16,
      target_modules: 'q_proj',
      trainable_parameters: 1000,
      parameters: 2_000_000,
      examples: 3,
      steps: 4,
      learning_rate: 1e-4,
      last_loss: 0.5,
      validation_loss: null,
    });
    const [, front] = /^---\n([\s\S]*?)\n---\n/.exec(card)!;
    const yaml = front!.split('\n');
    expect(JSON.parse(yaml[0]!.replace('base_model: ', ''))).toBe('a: "b"');
    expect(yaml).toContain('library_name: peft');
    expect(JSON.parse(yaml.at(-1)!.replace('- ', ''))).toBe('base_model:adapter:a: "b"');
    expect(card).toMatch(
      /1,000 trained parameters, 2,000,000 frozen[\s\S]*Last training loss \| 0\.5000 \|\n\| Validation loss \| –/,
    );
  });
});
