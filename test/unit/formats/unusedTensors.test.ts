import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../../src/formats/openBase';
import { withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { temp } from '../../support/temp';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');

/** A fixture's base with more tensors, and with changes of its config. */
async function baseWith(
  family: string,
  added: (tensors: readonly TensorToWrite[]) => readonly TensorToWrite[],
  config: object = {},
): Promise<string> {
  const folder = path.join(temp(), 'base');
  cpSync(path.join(fixtures, family, 'base'), folder, { recursive: true });
  const file = path.join(folder, 'model.safetensors');
  const tensors = await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [];
    for (const { name, dtype, shape } of source.tensors.values())
      all.push({ name, dtype, shape, data: await source.readBytes(name) });
    return all;
  });
  await writeSafetensors(file, [...tensors, ...added(tensors)]);
  const configFile = path.join(folder, 'config.json');
  const old = JSON.parse(readFileSync(configFile, 'utf8')) as object;
  rmSync(configFile);
  writeFileSync(configFile, JSON.stringify({ ...old, ...config }));
  return folder;
}

const ones = (name: string, ...shape: number[]): TensorToWrite => ({
  name,
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
});

async function opened(folder: string): Promise<readonly string[]> {
  const base = await openBase(folder);
  await base.close();
  return [...base.weights.tensors.keys()];
}

const Q = 'model.layers.0.self_attn.q_proj';

describe('tensors of a checkpoint that the model does not use', () => {
  it.each([
    `${Q}.weight_scale`,
    `${Q}.weight_scale_inv`,
    `${Q}.input_scale`,
    `${Q}.k_scale`,
    `${Q}.qzeros`,
    `${Q}.scales`,
    `${Q}.g_idx`,
    `${Q}.weight.absmax`,
    `${Q}.weight._scale`,
    `${Q}.scale_weight`,
    'scaled_fp8',
  ])('refuse a model as quantised: %s', async (name) => {
    await expect(opened(await baseWith('llama', () => [ones(name, 1)]))).rejects.toMatchObject({
      message: expect.stringContaining('quantised') as string,
      place: { tensor: name },
    });
  });

  it.each([
    ['llama', `${Q}.bias`],
    ['llama', 'model.layers.9.input_layernorm.weight'],
    ['llama', 'model.layers.0.self_attn.q_norm.weight'],
    ['llama', 'lm_head.bias'],
    ['llama', `${Q}.other_scale`],
    ['gpt2', 'transformer.h.0.attn.c_attn.other'],
  ])('refuse a model where they can change its output: %s, %s', async (family, name) => {
    const folder = await baseWith(family, () => [ones(name, 1)]);
    await expect(opened(folder)).rejects.toMatchObject({
      message: 'The weights have a tensor that the config does not describe.',
      problems: [{ place: { file: folder, tensor: name } }],
    });
  });

  it.each([
    ['llama', 'model.layers.0.self_attn.rotary_emb.inv_freq'],
    ['llama', 'score.weight'],
    ['llama', 'mtp.layers.0.input_layernorm.weight'],
    ['gpt2', 'transformer.h.0.attn.masked_bias'],
    ['bert', 'cls.predictions.bias'],
    ['bert', 'bert.embeddings.position_ids'],
    ['roberta', 'roberta.pooler.dense.weight'],
    ['roberta', 'lm_head.bias'],
    ['vit', 'vit.pooler.dense.weight'],
  ])('are accepted where they are known not to matter: %s, %s', async (family, name) => {
    await expect(opened(await baseWith(family, () => [ones(name, 1)]))).resolves.not.toEqual([]);
  });

  it('refuse a model that has a tensor twice, under two names', async () => {
    const twice = (tensors: readonly TensorToWrite[]) =>
      tensors
        .filter(({ name }) => name === `${Q}.weight`)
        .map((q) => ({ ...q, name: q.name.slice(6) }));
    await expect(opened(await baseWith('llama', twice))).rejects.toThrow('does not describe');
  });

  it('are accepted in the other parts of a model for text and images', async () => {
    const config = JSON.parse(
      readFileSync(path.join(fixtures, 'llama/base/config.json'), 'utf8'),
    ) as object;
    const wrapped = { model_type: 'llava', text_config: config, quantization_config: null };
    const fine = [ones('vision_tower.layers.0.q_proj.bias', 1)];
    await expect(opened(await baseWith('llama', () => fine, wrapped))).resolves.not.toEqual([]);
    const extra = [ones('language_model.model.layers.0.self_attn.q_proj.bias', 1)];
    await expect(opened(await baseWith('llama', () => extra, wrapped))).rejects.toThrow(
      'does not describe',
    );
  });
});

describe('an output layer beside a config that ties it', () => {
  const copyOfEmbedding = (change: number) => (tensors: readonly TensorToWrite[]) => {
    const { dtype, shape, data } = tensors.find(
      ({ name }) => name === 'model.embed_tokens.weight',
    )!;
    const bytes = Uint8Array.from(data as Uint8Array);
    bytes[bytes.length - 1]! ^= change;
    return [{ name: 'lm_head.weight', dtype, shape, data: bytes }];
  };

  it('is accepted if it is the embedding', async () => {
    const folder = await baseWith('tied', copyOfEmbedding(0));
    await expect(opened(folder)).resolves.not.toEqual([]);
  });

  it('is refused if it has other numbers', async () => {
    const folder = await baseWith('tied', copyOfEmbedding(1));
    await expect(opened(folder)).rejects.toMatchObject({
      message: expect.stringContaining('ties the output layer') as string,
      place: { file: folder, tensor: 'lm_head.weight' },
    });
  });
});
