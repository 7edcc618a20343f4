import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBase } from '../../../../src/formats/openBase';
import { LoraError } from '../../../../src/shared/errors';
import { asGguf, type GgufParts } from '../../../support/ggufFixture';
import { ggufBytes, type TensorSpec, type Value } from '../../../support/ggufWriter';
import { fixtures } from '../../../support/models';

const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-mixtures-'));
const file = path.join(folder, 'model.gguf');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function opened({ metadata, tensors }: GgufParts) {
  writeFileSync(file, ggufBytes(metadata, tensors));
  return openBase(file);
}

async function refusal(parts: GgufParts): Promise<LoraError> {
  const error: unknown = await opened(parts).then(
    (base) => base.close(),
    (own: unknown) => own,
  );
  expect(error).toBeInstanceOf(LoraError);
  expect((error as LoraError).place?.file).toBe(file);
  return error as LoraError;
}

const withKey = ({ metadata, tensors }: GgufParts, key: string, value: Value): GgufParts => ({
  metadata: [...metadata.filter(([own]) => own !== key), [key, value]],
  tensors,
});
const withTensors = (
  { metadata, tensors }: GgufParts,
  change: (tensor: TensorSpec) => readonly TensorSpec[],
): GgufParts => ({ metadata, tensors: tensors.flatMap(change) });
const without = (parts: GgufParts, name: string) =>
  withTensors(parts, (own) => (own.name === name ? [] : [own]));

let moe: GgufParts;
let oss: GgufParts;
let gemma: GgufParts;
let delta: GgufParts;
beforeAll(async () => {
  const of = (name: string, arch: string) => asGguf(path.join(fixtures, name, 'base'), arch);
  moe = await of('qwen3_moe', 'qwen3moe');
  oss = await of('gpt_oss', 'gpt-oss');
  gemma = await of('gemma4-moe', 'gemma4');
  delta = await of('qwen3_5', 'qwen35');
});

describe('a mixture in a GGUF file', () => {
  it('is refused where its tensors have another number of experts than it says', async () => {
    const error = await refusal(withKey(moe, 'qwen3moe.expert_count', { u32: 8 }));
    expect(error.message).toBe('The tensor has 4 experts, but qwen3moe.expert_count is 8.');
    expect(error.place?.tensor).toBe('blk.0.ffn_gate_exps.weight');
    for (const count of [0, 4_000_000_000])
      expect(
        (await refusal(withKey(moe, 'qwen3moe.expert_count', { u32: count }))).message,
      ).toMatch(new RegExp(`has 4 experts, but qwen3moe.expert_count is ${count}`));
  });

  it('is refused without a tensor of its experts, naming it', async () => {
    for (const part of ['gate', 'up', 'down']) {
      const name = `blk.1.ffn_${part}_exps.weight`;
      for (const parts of [moe, oss]) {
        const error = await refusal(without(parts, name));
        expect(error.message).toBe('The tensor of all experts is missing.');
        expect(error.place?.tensor).toBe(name);
      }
    }
    const error = await refusal(without(gemma, 'blk.2.ffn_down_exps.weight'));
    expect(error.place?.tensor).toBe('blk.2.ffn_down_exps.weight');
    expect((await refusal(without(gemma, 'blk.2.ffn_gate_up_exps.weight'))).place?.tensor).toMatch(
      /blk\.2\.ffn_gate/,
    );
  });

  it('is refused for keys that are missing or do not fit', async () => {
    for (const key of ['expert_used_count', 'expert_feed_forward_length']) {
      const name = `qwen3moe.${key}`;
      const parts = { ...moe, metadata: moe.metadata.filter(([own]) => own !== name) };
      expect((await refusal(parts)).message).toMatch(`${name} is missing`);
    }
    expect((await refusal(withKey(moe, 'qwen3moe.expert_used_count', { u32: 5 }))).place?.key).toBe(
      'num_experts_per_tok',
    );
    expect(
      (await refusal(withKey(moe, 'qwen3moe.expert_feed_forward_length', { u32: 20 }))).describe(),
    ).toMatch(/model\.layers\.0\.mlp\.experts\.0\.gate_proj\.weight.*shape/);
  });

  it('is refused where a tensor of experts is no stack of matrices', async () => {
    const flat = withTensors(moe, (own) => {
      const [experts = 0, rows = 0, width = 0] = own.shape;
      return [
        own.name === 'blk.0.ffn_up_exps.weight' ? { ...own, shape: [experts * rows, width] } : own,
      ];
    });
    expect((await refusal(flat)).message).toMatch(/not one of 3 dimensions with the experts/);
  });

  it('is refused where gate and up are there twice', async () => {
    const twice = withTensors(gemma, (own) => {
      if (own.name !== 'blk.0.ffn_gate_up_exps.weight') return [own];
      const [experts = 0, rows = 0, width = 0] = own.shape;
      const half = own.data.slice(0, own.data.length / 2);
      return [
        own,
        { name: 'blk.0.ffn_up_exps.weight', shape: [experts, rows / 2, width], data: half },
      ];
    });
    const error = await refusal(twice);
    expect(error.message).toMatch(/model\.layers\.0\.experts\.0\.up_proj\.weight twice/);
    expect(error.place?.tensor).toBe('blk.0.ffn_up_exps.weight');
  });

  it('is refused where gate and up have different shapes', async () => {
    const name = 'blk.0.ffn_up_exps.weight';
    const uneven = withTensors(oss, (own) => {
      const [experts = 0, rows = 0, width = 0] = own.shape;
      const data = new Float32Array(2 * own.data.length);
      return [own.name === name ? { name, shape: [experts, 2 * rows, width], data } : own];
    });
    const error = await refusal(uneven);
    expect(error.message).toMatch(/^Gate and up of experts have different shapes: \[/);
    expect(error.place?.tensor).toBe(name);
  });

  it('is refused where a tensor of many experts is empty', async () => {
    const count = 2_000_000_000;
    const many = withKey(moe, 'qwen3moe.expert_count', { u32: count });
    const empty = withTensors(many, (own) => {
      const [, , width = 0] = own.shape;
      return [
        own.name.includes('_exps.')
          ? { name: own.name, shape: [count, 0, width], data: new Float32Array(0) }
          : own,
      ];
    });
    const error = await refusal(empty);
    expect(error.message).toMatch(/is empty/);
    expect(error.place?.tensor).toBe('blk.0.ffn_gate_exps.weight');
  });

  it('is refused in an architecture that is none here', async () => {
    const llama = await asGguf(path.join(fixtures, 'llama/base'), 'llama');
    expect((await refusal(withKey(llama, 'llama.expert_count', { u32: 4 }))).message).toMatch(
      /mixture of experts/,
    );
  });
});

describe('linear attention in a GGUF file', () => {
  it('is refused where the numbers of heads do not fit', async () => {
    expect((await refusal(withKey(delta, 'qwen35.ssm.group_count', { u32: 3 }))).place?.key).toBe(
      'linear_num_key_heads',
    );
    expect(
      (await refusal(withKey(delta, 'qwen35.ssm.time_step_rank', { u32: 0 }))).place?.key,
    ).toBe('linear_num_value_heads');
    expect((await refusal(without(delta, 'blk.0.ssm_dt.bias'))).describe()).toMatch(
      /linear_attn\.dt_bias.*missing/,
    );
  });

  it('is read without the blocks that predict further tokens', async () => {
    const count = 4;
    const next = delta.tensors
      .filter(({ name }) => name.startsWith('blk.3.'))
      .map((own) => ({ ...own, name: own.name.replace('blk.3', `blk.${count}`) }));
    const more = {
      name: `blk.${count}.nextn.eh_proj.weight`,
      shape: [2],
      data: new Float32Array(2),
    };
    const parts = withKey(
      withKey({ ...delta, tensors: [...delta.tensors, ...next, more] }, 'qwen35.block_count', {
        u32: count + 1,
      }),
      'qwen35.nextn_predict_layers',
      { u32: 1 },
    );
    const base = await opened(parts);
    expect(base.spec.num_layers).toBe(count);
    expect([...base.weights.tensors.keys()].some((name) => name.includes('layers.4'))).toBe(false);
    await base.close();
  });
});

describe('Gemma 4 in a GGUF file', () => {
  it('is refused for RoPE factors of another kind, and heads that rotate in part', async () => {
    const factors = withTensors(gemma, (own) => [
      own.name === 'rope_freqs.weight' ? { ...own, data: own.data.map((_, i) => 1 + i) } : own,
    ]);
    expect((await refusal(factors)).place?.tensor).toBe('rope_freqs.weight');
    const key = 'gemma4.rope.dimension_count_swa';
    expect((await refusal(withKey(gemma, key, { u32: 4 }))).place?.key).toBe(key);
    const pattern = 'gemma4.attention.sliding_window_pattern';
    expect((await refusal(withKey(gemma, pattern, { u32: 3 }))).place?.key).toBe(pattern);
  });

  it('may have the keys and values of layers that use those of others', async () => {
    const shared = await asGguf(path.join(fixtures, 'gemma4/base'), 'gemma4');
    const own = shared.tensors
      .filter(({ name }) => /^blk\.0\.attn_(?:k|v|k_norm)\./.test(name))
      .map((tensor) => ({ ...tensor, name: tensor.name.replace('blk.0', 'blk.3') }));
    expect(own).toHaveLength(3);
    const base = await opened({ ...shared, tensors: [...shared.tensors, ...own] });
    expect(base.spec.layers[3]!.attention.keys_of).toBe(2);
    await base.close();
  });
});
