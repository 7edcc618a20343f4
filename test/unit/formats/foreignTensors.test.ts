import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../../src/formats/openBase';
import { withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { LoraError } from '../../../src/shared/errors';
import { temp } from '../../support/temp';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');
const fixture = (family: string, file: string) => path.join(fixtures, family, 'base', file);

function copyOf(family: string): string {
  const folder = path.join(temp(), 'base');
  cpSync(path.join(fixtures, family, 'base'), folder, { recursive: true });
  return folder;
}

function putConfig(folder: string, config: object): void {
  const file = path.join(folder, 'config.json');
  rmSync(file);
  writeFileSync(file, JSON.stringify(config));
}

const configOf = (family: string): Readonly<Record<string, unknown>> =>
  JSON.parse(readFileSync(fixture(family, 'config.json'), 'utf8')) as Record<string, unknown>;

/** Rewrites the weights of a copy with some of their tensors. */
async function keepTensors(folder: string, isKept: (name: string) => boolean): Promise<void> {
  const file = path.join(folder, 'model.safetensors');
  const tensors = await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [];
    for (const { name, dtype, shape } of source.tensors.values())
      if (isKept(name)) all.push({ name, dtype, shape, data: await source.readBytes(name) });
    return all;
  });
  rmSync(file);
  await writeSafetensors(file, tensors);
}

async function refusalOf(folder: string): Promise<LoraError> {
  const error: unknown = await openBase(folder).then(
    (base) => base.close(),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LoraError);
  return error as LoraError;
}

/** The error names the folder, the tensor, what is wrong with it, and what to do. */
async function expectNamed(folder: string, tensor: string, what: RegExp): Promise<void> {
  const error = await refusalOf(folder);
  expect(error.place?.file).toBe(folder);
  expect(error.fix).toMatch(/Download the model again|Check that config\.json belongs/);
  const found = error.problems.find((problem) => problem.place?.tensor === tensor);
  expect(error.problems.map(({ place }) => place?.tensor)).toContain(tensor);
  expect(found?.message).toMatch(what);
  expect(found?.place?.file).toBe(folder);
}

/** Families, the config of another one for their weights, and a tensor that this one needs. */
const CLAIMS: readonly (readonly [family: string, claimed: string, tensor: string])[] = [
  ['llama', 't5', 'encoder.block.0.layer.0.SelfAttention.q.weight'],
  ['t5', 'llama', 'model.layers.0.self_attn.q_proj.weight'],
  ['mt5', 't5', 'shared.weight'],
  ['qwen3', 'qwen3_moe', 'model.layers.0.mlp.gate.weight'],
  ['qwen3_moe', 'qwen3', 'model.layers.0.mlp.gate_proj.weight'],
  ['qwen3_moe', 'gpt_oss', 'model.layers.0.mlp.router.weight'],
  ['gemma3_text', 'gemma4', 'model.layers.0.layer_scalar'],
  ['gemma4', 'gemma3_text', 'model.layers.0.self_attn.q_proj.weight'],
  ['llama', 'lfm2', 'model.layers.0.conv.conv.weight'],
  ['lfm2', 'llama', 'model.layers.0.self_attn.q_proj.weight'],
  ['qwen3', 'qwen3_5', 'model.layers.0.linear_attn.in_proj_qkv.weight'],
  ['siglip', 'clip', 'text_projection.weight'],
  ['clip', 'siglip', 'logit_bias'],
  ['vit', 'clip', 'text_model.embeddings.token_embedding.weight'],
];

describe('weights under the config of another family', () => {
  it.each(CLAIMS)('%s as %s names %s', async (family, claimed, tensor) => {
    const folder = copyOf(family);
    putConfig(folder, configOf(claimed));
    await expectNamed(folder, tensor, /^It is missing\.$|^Its shape is .* the config asks for/);
  });
});

/** A tensor of each family, without which the others do not make a model. */
const MISSING: readonly (readonly [family: string, tensor: string])[] = [
  ['t5', 'decoder.block.1.layer.1.EncDecAttention.k.weight'],
  ['t5-tied', 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'],
  ['qwen3_moe', 'model.layers.1.mlp.gate.weight'],
  ['gpt_oss', 'model.layers.0.self_attn.sinks'],
  ['gemma4', 'model.layers.0.layer_scalar'],
  ['lfm2', 'model.layers.0.conv.in_proj.weight'],
  ['qwen3_5', 'model.layers.0.linear_attn.A_log'],
  ['clip', 'visual_projection.weight'],
  ['siglip', 'logit_bias'],
];

describe('a missing tensor', () => {
  it.each(MISSING)('of %s is named: %s', async (family, tensor) => {
    const folder = copyOf(family);
    await keepTensors(folder, (name) => name !== tensor);
    await expectNamed(folder, tensor, /^It is missing\.$/);
  });
});

/** Families whose layers have experts, and a part of each that all or one of them lack. */
const EXPERTS = ['qwen3_moe', 'gpt_oss', 'gemma4-moe'];

describe('missing experts', () => {
  it.each(EXPERTS)('of %s are named', async (family) => {
    const folder = copyOf(family);
    const isExpert = (name: string) => /layers\.1\..*experts/.test(name);
    await keepTensors(folder, (name) => !isExpert(name));
    const error = await refusalOf(folder);
    expect(error.place?.file).toBe(folder);
    const missing = error.problems.map(({ place }) => place?.tensor);
    expect(missing.length).toBeGreaterThan(0);
    for (const name of missing) expect(name).toMatch(/layers\.1\..*experts/);
    expect(error.problems[0]?.message).toBe('It is missing.');
    expect(error.fix).toMatch(/Download the model again/);
  });

  it('of one number are named where each has tensors of its own', async () => {
    const folder = copyOf('qwen3_moe');
    const names = await withSafetensors(path.join(folder, 'model.safetensors'), (source) =>
      Promise.resolve([...source.tensors.keys()]),
    );
    const [own] = names.filter((name) => name.includes('experts'));
    await keepTensors(folder, (name) => name !== own);
    const error = await refusalOf(folder);
    expect(error.problems.map(({ message }) => message)).toContain('It is missing.');
    expect(error.problems[0]?.place?.tensor).toContain('experts');
  });

  it('are named with their shapes where the config counts others', async () => {
    const folder = copyOf('qwen3_moe');
    const config = configOf('qwen3_moe');
    putConfig(folder, { ...config, num_local_experts: Number(config['num_local_experts']) + 1 });
    const error = await refusalOf(folder);
    expect(error.problems.length).toBeGreaterThan(0);
    expect(error.problems[0]?.place?.tensor).toMatch(/mlp\.(?:gate|experts)/);
  });
});
