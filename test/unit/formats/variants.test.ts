import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectAdapter, readAdapter, readAnyAdapter } from '../../../src/formats/adapterFormat';
import { readGgufAdapter } from '../../../src/formats/gguf/adapter';
import { openBase } from '../../../src/formats/openBase';
import { adapterConfigText } from '../../../src/formats/peft/configText';
import { withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { areTransposed } from '../../../src/lora/tying';
import { ggufBytes, type Value } from '../../support/ggufWriter';
import { fixtures } from '../../support/models';
import { temp } from '../../support/temp';

const formats = path.join(fixtures, 'llama/formats');
const UNSUPPORTED = /, which is not supported\.$/;

function copyOf(name: string): string {
  const folder = path.join(temp(), 'adapter');
  cpSync(path.join(formats, name), folder, { recursive: true });
  return folder;
}

function editConfig(folder: string, change: (config: Record<string, unknown>) => object): void {
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify(change(config)));
}

/** Adds tensors and metadata to a safetensors file. */
async function extend(
  file: string,
  tensors: readonly TensorToWrite[],
  metadata?: Record<string, string>,
): Promise<void> {
  const own = await withSafetensors(file, (source) =>
    Promise.all(
      [...source.tensors.values()].map(async ({ name, shape }) => ({
        name,
        dtype: 'F32' as const,
        shape,
        data: await source.readF32(name),
      })),
    ),
  );
  await writeSafetensors(file, [...own, ...tensors], metadata);
}

const tensor = (name: string, shape: readonly number[] = [1]): TensorToWrite => ({
  name,
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
});

const read = async (place: string) => readAdapter(await detectAdapter(place), null);

describe('an adapter of PEFT', () => {
  const peft = (change: object) => {
    const folder = copyOf('adapter');
    editConfig(folder, (config) => ({ ...config, ...change }));
    return folder;
  };

  it('has no unknown key where PEFT saved a default config', async () => {
    const { adapter } = await read(peft({}));
    const folder = peft({});
    const { target_modules, r, lora_alpha } = adapter.config;
    writeFileSync(
      path.join(folder, 'adapter_config.json'),
      adapterConfigText({ ...adapter.config, target_modules, r, lora_alpha, raw: {} }, null),
    );
    expect((await read(folder)).warnings).toEqual([]);
  });

  it.each([
    ['lora_bias', 1],
    ['megatron_config', { tensor_model_parallel_size: 2 }],
    ['enable_lora', [true, false, true]],
    ['use_qalora', 'yes'],
  ])('is refused by name for %s = %j', async (key, value) => {
    await expect(read(peft({ [key]: value }))).rejects.toMatchObject({
      area: 'adapter',
      message: expect.stringMatching(UNSUPPORTED) as string,
      place: { key },
    });
  });

  it.each([
    ['lora_bias', 0],
    ['trainable_token_indices', {}],
    ['target_parameters', []],
    ['layer_replication', null],
    ['loftq_config', {}],
    ['merge_weights', true],
    ['a_new_method', false],
    ['a_new_method', {}],
  ])('is accepted without a word for %s = %j', async (key, value) => {
    expect((await read(peft({ [key]: value }))).warnings).toEqual([]);
  });

  it('is used with a warning where its config has an unknown key', async () => {
    const { warnings } = await read(peft({ use_velvet: true, velvet_factor: 0.5, none: null }));
    expect(warnings.map(({ message, place }) => [message, place?.key])).toEqual([
      [`"use_velvet" is not a known key of a LoRA adapter's config and is ignored.`, 'use_velvet'],
      [
        `"velvet_factor" is not a known key of a LoRA adapter's config and is ignored.`,
        'velvet_factor',
      ],
    ]);
  });

  it('is refused where layers are chosen beside an expression, as in PEFT', async () => {
    await expect(
      read(peft({ target_modules: '.*_proj', layers_to_transform: [0] })),
    ).rejects.toMatchObject({ place: { key: 'layers_to_transform' } });
    await expect(
      read(peft({ target_modules: '.*_proj', layers_pattern: 'layers' })),
    ).rejects.toMatchObject({ place: { key: 'layers_pattern' } });
  });

  it.each([
    ['layers.0.self_attn.q_proj.lora_B.bias', 'LoRA with a bias'],
    ['layers.0.self_attn.q_proj.lora_B.default.bias', 'LoRA with a bias'],
    ['layers.0.self_attn.q_proj.lora_diag', 'KaSA'],
    ['embed_tokens.token_adapter.trainable_tokens_original', 'trainable tokens'],
    ['embed_tokens.trainable_tokens_delta.default', 'trainable tokens'],
  ])('is refused by name for a tensor %s', async (name, variant) => {
    const folder = copyOf('adapter');
    const full = `base_model.model.model.${name}`;
    await extend(path.join(folder, 'adapter_model.safetensors'), [tensor(full)]);
    await expect(read(folder)).rejects.toMatchObject({
      message: `The adapter uses ${variant}, which is not supported.`,
      place: { tensor: full },
    });
  });
});

describe('an adapter of llama.cpp', () => {
  const gguf = (...metadata: (readonly [string, Value])[]) => {
    const file = path.join(temp(), 'adapter.gguf');
    const own: (readonly [string, Value])[] = [
      ['general.architecture', { text: 'llama' }],
      ['general.type', { text: 'adapter' }],
      ['adapter.type', { text: 'lora' }],
      ['adapter.lora.alpha', { f32: 4 }],
      ...metadata,
    ];
    writeFileSync(
      file,
      ggufBytes(own, [
        { name: 'blk.0.ffn_up.weight.lora_a', shape: [2, 4], data: new Float32Array(8).fill(1) },
        { name: 'blk.0.ffn_up.weight.lora_b', shape: [6, 2], data: new Float32Array(12).fill(1) },
      ]),
    );
    return file;
  };

  it('is refused by name where it is activated by tokens', async () => {
    const file = gguf(['adapter.alora.invocation_tokens', { ints: [5, 6] }]);
    await expect(readGgufAdapter(file, 'as stored')).rejects.toMatchObject({
      area: 'adapter',
      message: 'The adapter uses activated LoRA, which is not supported.',
      place: { file, key: 'adapter.alora.invocation_tokens' },
    });
  });

  it('is used with a warning where its metadata has an unknown key', async () => {
    const file = gguf(
      ['adapter.lora.task_name', { text: 'a' }],
      ['adapter.lora.prompt_prefix', { text: 'Say: ' }],
      ['adapter.lora.off', { bool: false }],
    );
    const { warnings } = await readGgufAdapter(file, 'as stored');
    expect(warnings.map(({ place }) => place?.key)).toEqual(['adapter.lora.prompt_prefix']);
  });
});

describe('an adapter of mlx-lm', () => {
  const withParameters = (change: object) => (config: Record<string, unknown>) => ({
    ...config,
    lora_parameters: { ...(config['lora_parameters'] as object), ...change },
  });
  const weights = (folder: string) => path.join(folder, 'adapters.safetensors');

  it('is refused where magnitudes of DoRA contradict its type', async () => {
    const folder = copyOf('mlx');
    await extend(weights(folder), [tensor('model.layers.0.self_attn.q_proj.m', [48])]);
    await expect(read(folder)).rejects.toMatchObject({
      message:
        'The tensor is a magnitude of DoRA, but the config does not say fine_tune_type "dora".',
      place: { tensor: 'model.layers.0.self_attn.q_proj.m' },
    });
  });

  it('uses DoRA where an older config says use_dora', async () => {
    const folder = copyOf('mlx');
    const modules = (await read(folder)).adapter.modules;
    await extend(
      weights(folder),
      modules.map((m) => tensor(`${m.path}.m`, [m.out_features])),
    );
    editConfig(folder, (config) => ({ ...config, fine_tune_type: undefined, use_dora: true }));
    const { adapter } = await read(folder);
    expect(adapter.config.use_dora).toBe(true);
    expect(adapter.modules.every((m) => m.magnitude?.[0] === 0.5)).toBe(true);
  });

  it('has only the modules that its keys name', async () => {
    const folder = copyOf('mlx');
    editConfig(folder, withParameters({ keys: ['self_attn.q_proj'] }));
    const { adapter, warnings } = await read(folder);
    expect(new Set(adapter.modules.map((m) => m.path.split('.').at(-1)))).toEqual(
      new Set(['q_proj']),
    );
    expect(warnings[0]?.message).toBe(
      'The module is not in the keys of lora_parameters and is ignored.',
    );
  });

  it('is used with a warning where its parameters have an unknown key', async () => {
    const folder = copyOf('mlx');
    editConfig(folder, withParameters({ use_rslora: true, other: false }));
    const { warnings } = await read(folder);
    expect(warnings.map(({ place }) => place?.key)).toEqual(['lora_parameters.use_rslora']);
  });

  it("adapts an output layer that shares the adapted embedding's weight, too", async () => {
    const folder = copyOf('mlx');
    editConfig(folder, withParameters({ keys: ['model.embed_tokens'] }));
    await writeSafetensors(weights(folder), [
      tensor('model.embed_tokens.lora_a', [384, 4]),
      tensor('model.embed_tokens.lora_b', [4, 48]),
    ]);
    const base = await openBase(path.join(fixtures, 'llama/base'));
    const { adapter } = await readAnyAdapter(folder, base);
    await base.close();
    const [embedding, output] = ['model.embed_tokens', 'lm_head'].map((own) =>
      adapter.modules.find((m) => m.path === own)!,
    );
    expect(areTransposed(embedding!, output!)).toBe(true);
    expect(output!.scaling).toBe(embedding!.scaling);
    const alone = await read(folder);
    expect(alone.adapter.config.raw['ensure_weight_tying']).toBe(true);
  });
});

describe("an adapter of kohya's scripts", () => {
  const file = (folder: string) => path.join(folder, 'adapter.safetensors');
  const module = 'lora_te_model_layers_0_self_attn_q_proj';

  it.each([
    ['hada_w3_a', 'another kind of LoHa'],
    ['lokr_w3', 'another kind of LoKr'],
    ['diff', 'whole differences'],
    ['diff_b', 'whole differences'],
    ['w_norm', 'changes of norms'],
    ['b_norm', 'changes of norms'],
    ['a1.weight', 'GLoRA'],
    ['oft_blocks', 'OFT'],
    ['on_input', '(IA)³'],
    ['bias_values', 'changes of biases'],
    ['lora_up.bias', 'LoRA with a bias'],
    ['scalar', 'a trained scale'],
    ['reshape_weight', 'a change of shape'],
  ])('is refused by name for a tensor %s', async (leaf, name) => {
    const folder = copyOf('kohya');
    await extend(file(folder), [tensor(`${module}.${leaf}`)]);
    await expect(read(file(folder))).rejects.toMatchObject({
      message: `The file holds ${name}, which is not supported.`,
      place: { tensor: `${module}.${leaf}` },
    });
  });

  it.each(['hada_w1_a', 'lokr_w1'])('is refused for %s beside LoRA', async (leaf) => {
    const folder = copyOf('kohya');
    await extend(file(folder), [tensor(`${module}.${leaf}`)]);
    await expect(read(file(folder))).rejects.toThrow(
      /has factors of more than one of LoRA, LoHa and LoKr/,
    );
  });

  it.each([
    [{ ss_network_args: '{"algo": "boft"}' }, 'boft', 'ss_network_args'],
    [{ ss_network_module: 'networks.oft_flux' }, 'oft', 'ss_network_module'],
  ])('is refused by name for the metadata %j', async (metadata, name, key) => {
    const folder = copyOf('kohya');
    await extend(file(folder), [], metadata);
    await expect(read(file(folder))).rejects.toMatchObject({
      message: `The file holds ${name}, which is not supported.`,
      place: { key },
    });
  });

  it.each([
    { ss_network_args: '{"algo": "LoCon", "conv_dim": "4"}' },
    { ss_network_args: 'not JSON', ss_network_module: 'networks.lora_flux' },
    { ss_network_args: 'null' },
  ])('is read for the metadata %j', async (metadata) => {
    const folder = copyOf('kohya');
    await extend(file(folder), [], metadata);
    expect((await read(file(folder))).adapter.modules.length).toBeGreaterThan(0);
  });
});
