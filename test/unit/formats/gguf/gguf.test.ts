import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBase, targetableModules } from '../../../../src/formats/openBase';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import type { Spec } from '../../../../src/formats/architecture/spec';
import { inverseFrequencies } from '../../../../src/models/attention/rope';
import { LoraError } from '../../../../src/shared/errors';
import { asGguf, originalOf, type GgufParts } from '../../../support/ggufFixture';
import { ggufBytes, type Value } from '../../../support/ggufWriter';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-formats-'));
const file = path.join(folder, 'model.gguf');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function write(bytes: Buffer): string {
  writeFileSync(file, bytes);
  return file;
}

async function refusal(bytes: Buffer): Promise<LoraError> {
  const error: unknown = await openBase(write(bytes)).then(
    async (base) => {
      await base.close();
      return null;
    },
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LoraError);
  expect((error as LoraError).place?.file).toBe(file);
  return error as LoraError;
}

describe('a GGUF base', () => {
  // Settings that a GGUF file cannot store are changed in the fixture's config to the defaults of
  // the reader and of llama.cpp.
  const local = Array.from({ length: 3 }, () => 'sliding_attention');
  const asT5 = { model_type: 't5', scale_decoder_outputs: false };
  const longrope = {
    rope_type: 'longrope',
    rope_theta: 10_000,
    long_factor: [1, 2, 3, 4, 5, 6],
    short_factor: [1, 1, 1, 1, 1, 2],
    original_max_position_embeddings: 32,
  };
  it.each<[string, string, object]>([
    ['llama', 'llama', {}],
    ['llama3', 'llama', {}],
    ['rope-yarn', 'llama', {}],
    ['qwen2', 'qwen2', {}],
    ['qwen3', 'qwen3', {}],
    ['gemma', 'gemma', {}],
    ['olmo2', 'olmo2', {}],
    ['phi3', 'phi3', {}],
    ['phi3', 'phi3', { rope_parameters: longrope, sliding_window: 7 }],
    ['gpt2', 'gpt2', {}],
    ['gpt_neox', 'gptneox', {}],
    ['gpt_neox', 'gptneox', { use_parallel_residual: false }],
    ['smollm3', 'smollm3', { no_rope_layers: [1, 1] }],
    ['granite', 'granite', {}],
    ['ernie4_5', 'ernie4_5', {}],
    ['glm4', 'glm4', {}],
    ['seed_oss', 'seed_oss', {}],
    ['hunyuan', 'hunyuan-dense', {}],
    ['olmo3', 'olmo2', {}],
    ['exaone4', 'exaone4', {}],
    ['exaone4', 'exaone4', { sliding_window: null, layer_types: null }],
    ['ministral3', 'mistral3', {}],
    ['lfm2', 'lfm2', {}],
    ['gemma2', 'gemma2', { query_pre_attn_scalar: 12 }],
    ['gemma3_text', 'gemma3', { query_pre_attn_scalar: 12, layer_types: local }],
    ['qwen3_moe', 'qwen3moe', {}],
    ['gpt_oss-mxfp4', 'gpt-oss', {}],
    ['qwen3_5', 'qwen35', {}],
    ['dora-qwen3_5', 'qwen35', {}],
    ['gemma4', 'gemma4', {}],
    ['gemma4-moe', 'gemma4', {}],
    ['t5', 't5', { relative_attention_max_distance: 128 }],
    ['t5-tied', 't5', { relative_attention_max_distance: 128 }],
    ['mt5', 't5', { ...asT5, relative_attention_max_distance: 128 }],
  ])('equals the Hugging Face folder of fixture %s (%s, %j)', async (family, arch, change) => {
    const source = originalOf(family, change);
    const { metadata, tensors } = await asGguf(source, arch);
    const original = await openBase(source);
    const { pad_token_id: padding } = original.config;
    const gguf = await openBase(
      write(
        ggufBytes(
          [
            ...metadata,
            ...(typeof padding === 'number'
              ? [['tokenizer.ggml.padding_token_id', { u32: padding }] as const]
              : []),
          ],
          tensors,
        ),
      ),
    );
    const [ours, theirs] = [readSpec(gguf.config, 'a'), readSpec(original.config, 'b')];
    const still = (spec: Spec) => ({
      ...spec,
      layers: spec.layers.map((layer) => ({
        ...layer,
        attention: { ...layer.attention, rope: null },
      })),
    });
    expect(still(ours)).toEqual(still(theirs));
    for (const [i, layer] of theirs.layers.entries()) {
      const [rope, mine] = [layer.attention.rope, ours.layers[i]!.attention.rope];
      expect(mine === null).toBe(rope === null);
      if (!rope || !mine) continue;
      const frequencies = inverseFrequencies(mine, 60);
      expect(frequencies).toHaveLength(mine.rotary_dim / 2);
      inverseFrequencies(rope, 60).forEach((want, j) =>
        expect(Math.abs(frequencies[j]! - want)).toBeLessThanOrEqual(1e-6 * want),
      );
    }
    expect(targetableModules(gguf)).toEqual(targetableModules(original));
    expect(gguf.parameters).toBe(original.parameters);
    expect([...gguf.weights.tensors.keys()].sort()).toEqual(
      [...original.weights.tensors.keys()].sort(),
    );
    for (const name of original.weights.tensors.keys()) {
      expect(gguf.weights.tensors.get(name)!.shape).toEqual(
        original.weights.tensors.get(name)!.shape,
      );
      const [have, want] = [await gguf.weights.readF32(name), await original.weights.readF32(name)];
      if (/^(?:gemma|qwen35)/.test(arch) && /norm\.weight$|A_log$/.test(name))
        // adding 1, or an exponential, has rounded it
        have.forEach((w, i) => expect(Math.abs(w - want[i]!)).toBeLessThanOrEqual(2 ** -22));
      else expect(have).toEqual(want);
    }
    await Promise.all([gguf.close(), original.close()]);
  });
});

describe('an unsupported GGUF file', () => {
  let good: GgufParts;
  beforeAll(async () => {
    good = await asGguf(path.join(fixtures, 'llama/base'), 'llama');
  });
  const withValue = (key: string, value: Value) =>
    ggufBytes([...good.metadata.filter(([name]) => name !== key), [key, value]], good.tensors);

  it('is rejected for an unknown architecture, listing the supported ones', async () => {
    expect((await refusal(withValue('general.architecture', { text: 'mamba' }))).message).toMatch(
      /"mamba".*llama, qwen2/,
    );
  });

  it('is rejected for mixture of experts, split files and partial rotary embeddings', async () => {
    expect((await refusal(withValue('llama.expert_count', { u32: 8 }))).message).toMatch(
      /mixture of experts/,
    );
    expect((await refusal(withValue('split.count', { u32: 3 }))).describe()).toMatch(
      /one of 3 parts.*\n.*--merge/,
    );
    expect((await refusal(withValue('llama.rope.dimension_count', { u32: 4 }))).message).toMatch(
      /4 of the 8 dimensions/,
    );
  });

  it('is rejected for windows of OLMo 3 in another rhythm', async () => {
    const { metadata, tensors } = await asGguf(path.join(fixtures, 'olmo3/base'), 'olmo2');
    const key = 'olmo2.attention.sliding_window_pattern';
    const others = metadata.filter(([name]) => name !== key);
    const error = await refusal(ggufBytes([...others, [key, { u32: 3 }]], tensors));
    expect(error.place?.key).toBe(key);
    await (await openBase(write(ggufBytes([...others, [key, { u32: 4 }]], tensors)))).close();
  });

  it('is rejected for missing metadata or a wrong type, naming the key', async () => {
    expect(
      (
        await refusal(
          ggufBytes(
            good.metadata.filter(([key]) => key !== 'llama.block_count'),
            good.tensors,
          ),
        )
      ).message,
    ).toMatch(/llama.block_count is missing/);
    expect((await refusal(withValue('llama.block_count', { text: 'two' }))).message).toMatch(
      /llama.block_count is not a number/,
    );
    expect((await refusal(withValue('llama.block_count', { u32: 4_000_000_000 }))).place?.key).toBe(
      'num_hidden_layers',
    );
  });

  it('is rejected for missing, misshapen or unknown tensors, naming them', async () => {
    const without = (name: string) =>
      ggufBytes(
        good.metadata,
        good.tensors.filter((t) => t.name !== name),
      );
    expect((await refusal(without('blk.1.attn_v.weight'))).describe()).toMatch(
      /1 of 20 tensors[\s\S]*model\.layers\.1\.self_attn\.v_proj\.weight.*missing/,
    );
    expect((await refusal(without('token_embd.weight'))).place?.tensor).toBe('token_embd.weight');
    const [first] = good.tensors.filter((t) => t.name === 'blk.0.ffn_up.weight');
    const reshaped = await refusal(
      ggufBytes(
        good.metadata,
        good.tensors.map((t) => (t === first ? { ...t, shape: t.shape.toReversed() } : t)),
      ),
    );
    expect(reshaped.describe()).toMatch(/model\.layers\.0\.mlp\.up_proj\.weight.*shape/);
    const extra = { name: 'blk.0.attn_q_norm.weight', shape: [16], data: new Float32Array(16) };
    expect((await refusal(ggufBytes(good.metadata, [...good.tensors, extra]))).place?.tensor).toBe(
      'blk.0.attn_q_norm.weight',
    );
  });

  it('is rejected for rotary factors of no known RoPE scaling', async () => {
    for (const length of [8, 3, 500_000]) {
      const factors = {
        name: 'rope_freqs.weight',
        shape: [length],
        data: new Float32Array(length).map((_, i) => 1 + (i % 2)),
      };
      expect(
        (await refusal(ggufBytes(good.metadata, [...good.tensors, factors]))).place?.tensor,
      ).toBe('rope_freqs.weight');
    }
  });

  it('is rejected for duplicate names or metadata keys', async () => {
    expect(
      (await refusal(ggufBytes(good.metadata, [...good.tensors, good.tensors[0]!]))).message,
    ).toMatch(/occurs twice/);
    expect(
      (await refusal(ggufBytes([...good.metadata, good.metadata[0]!], good.tensors))).message,
    ).toMatch(/occurs twice/);
  });

  it('is rejected if it is truncated, empty, of an old version or not GGUF', async () => {
    const bytes = ggufBytes(good.metadata, good.tensors);
    expect((await refusal(bytes.subarray(0, bytes.length - 1000))).message).toMatch(/cut short/);
    expect((await refusal(bytes.subarray(0, 300))).message).toMatch(/beyond the end/);
    expect((await refusal(Buffer.alloc(0))).message).toMatch(/not a GGUF/);
    expect(
      (await refusal(Buffer.from('{"not": "a GGUF file, but text that is long enough"}'))).message,
    ).toMatch(/not a GGUF/);
    expect((await refusal(changed(bytes, 4, 1))).message).toMatch(/version 1/);
    expect(
      (
        await refusal(
          Buffer.concat([Buffer.from('GGUF'), Buffer.from([0, 0, 0, 3]), bytes.subarray(8)]),
        )
      ).message,
    ).toMatch(/big-endian/);
  });

  it('is rejected for an unsupported weight type, listing the supported ones', async () => {
    const bytes = ggufBytes(good.metadata, good.tensors);
    const type =
      bytes.indexOf(good.tensors[0]!.name) +
      good.tensors[0]!.name.length +
      4 +
      8 * good.tensors[0]!.shape.length;
    expect((await refusal(changed(bytes, type, 16))).describe()).toMatch(/IQ2_XXS[\s\S]*Q4_K/);
  });

  it('is rejected for counts beyond the file size', async () => {
    const bytes = ggufBytes(good.metadata, good.tensors);
    for (const at of [8, 16, 24])
      expect(
        (await refusal(changed(bytes, at, ...Array.from({ length: 7 }, () => 255)))).message,
      ).toMatch(/damaged/);
  });

  it('gives a base or a LoraError for arbitrary bytes', async () => {
    const bytes = ggufBytes(
      [
        ...good.metadata,
        ['tokenizer.ggml.tokens', { texts: ['a', 'b'] }],
        ['x', { floats: [1, 2] }],
        ['y', { ints: [1] }],
      ],
      good.tensors,
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2500), fc.nat(255)), { maxLength: 6 }),
        fc.integer({ min: 0, max: bytes.length }),
        async (changes, length) => {
          const broken = Buffer.from(
            bytes.subarray(0, changes.length === 0 ? length : bytes.length),
          );
          for (const [at, value] of changes) if (at < broken.length) broken[at] = value;
          const result: unknown = await openBase(write(broken)).then(
            (base) => base.close(),
            (error: unknown) => error,
          );
          if (result !== undefined) expect(result).toBeInstanceOf(LoraError);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function changed(bytes: Buffer, at: number, ...values: number[]): Buffer {
  const copy = Buffer.from(bytes);
  values.forEach((value, i) => {
    copy[at + i] = value;
  });
  return copy;
}
