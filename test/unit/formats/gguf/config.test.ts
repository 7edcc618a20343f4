import { describe, expect, it } from 'vitest';
import { ggufConfig } from '../../../../src/formats/gguf/config';
import { llamaLikeGguf } from '../../../../src/formats/gguf/family';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';

const SIZES: Readonly<Record<string, GgufValue>> = {
  embedding_length: 64,
  'attention.head_count': 4,
  feed_forward_length: 128,
  block_count: 2,
  context_length: 256,
};
const NO_FACTORS = { freqs: null, long: null, short: null };

interface Facts {
  readonly tensors?: readonly string[];
  readonly rope_factors?: Partial<Record<keyof typeof NO_FACTORS, Float32Array>>;
  readonly partial_rotary?: boolean;
}

function configOf(values: Readonly<Record<string, GgufValue>>, facts: Facts = {}) {
  const all = Object.entries({ ...SIZES, ...values }).map(
    ([key, value]) => [`llama.${key}`, value] as const,
  );
  const metadata = new Metadata(new Map([['general.architecture', 'llama'], ...all]), 'a.gguf');
  const { tensors = [], rope_factors, partial_rotary = false } = facts;
  return ggufConfig(metadata, llamaLikeGguf('llama', { partial_rotary }), {
    has: (name) => tensors.includes(name),
    vocab_size: 1000,
    rope_factors: { ...NO_FACTORS, ...rope_factors },
  });
}

const ropeOf = (...args: Parameters<typeof configOf>) => configOf(...args)['rope_parameters'];
const refusal = (message: string, place: object) =>
  expect.objectContaining({ area: 'base', message, place: { file: 'a.gguf', ...place } }) as Error;

describe('the config of a GGUF file', () => {
  it('has defaults for what llama.cpp takes for granted', () => {
    expect(configOf({})).toEqual({
      model_type: 'llama',
      hidden_size: 64,
      intermediate_size: 128,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      head_dim: 16,
      max_position_embeddings: 256,
      rms_norm_eps: 1e-6,
      rope_parameters: { rope_theta: 10_000, rope_type: 'default', partial_rotary_factor: 1 },
      tie_word_embeddings: true,
      vocab_size: 1000,
      pad_token_id: null,
      hidden_act: 'silu',
      attention_bias: false,
      mlp_bias: false,
    });
  });

  it('has what the file says instead', () => {
    const values = {
      'attention.head_count_kv': 2,
      'attention.key_length': 8,
      'attention.layer_norm_rms_epsilon': Math.fround(1e-5),
      'rope.freq_base': 500_000,
    };
    const tensors = ['output.weight', 'blk.0.attn_q.bias', 'blk.0.ffn_gate.bias'];
    expect(configOf(values, { tensors })).toMatchObject({
      num_key_value_heads: 2,
      head_dim: 8,
      rms_norm_eps: 1e-5,
      rope_parameters: { rope_theta: 500_000 },
      tie_word_embeddings: false,
      attention_bias: true,
      mlp_bias: true,
    });
    expect(configOf({ 'rope.dimension_count': 8 })['head_dim']).toBe(8);
  });

  it('rotates a part of each head only where the family can', () => {
    const values = { 'rope.dimension_count': 4 };
    expect(configOf(values, { partial_rotary: true })).toMatchObject({
      head_dim: 16,
      rope_parameters: { partial_rotary_factor: 0.25 },
    });
    expect(() => configOf({ ...values, 'attention.key_length': 16 })).toThrow(
      refusal('The model rotates only 4 of the 16 dimensions of a head, which is not supported.', {
        key: 'llama.rope.dimension_count',
      }),
    );
  });

  it('refuses experts', () => {
    expect(configOf({ expert_count: 0 })['hidden_size']).toBe(64);
    expect(() => configOf({ expert_count: 1 })).toThrow(
      refusal('The model is a mixture of experts, which is not supported.', {
        key: 'llama.expert_count',
      }),
    );
  });
});

describe('the RoPE scaling of a GGUF file', () => {
  const common = { rope_theta: 10_000, partial_rotary_factor: 1 };

  it('may be linear, by the old key too', () => {
    const linear = { ...common, rope_type: 'linear', factor: 2 };
    expect(ropeOf({ 'rope.scaling.type': 'linear', 'rope.scaling.factor': 2 })).toEqual(linear);
    expect(ropeOf({ 'rope.scale_linear': 2 })).toEqual(linear);
    expect(ropeOf({ 'rope.scaling.type': 'none', 'rope.scale_linear': 2 })).toEqual({
      ...common,
      rope_type: 'default',
    });
  });

  it('may be YaRN, without factors that transformers lacks', () => {
    const yarn = {
      'rope.scaling.type': 'yarn',
      'rope.scaling.factor': 4,
      'rope.scaling.original_context_length': 64,
    };
    const expected = {
      ...common,
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 64,
      beta_fast: 32,
      beta_slow: 1,
    };
    expect(ropeOf(yarn)).toEqual(expected);
    const betas = { 'rope.scaling.yarn_beta_fast': 16, 'rope.scaling.yarn_beta_slow': 2 };
    expect(ropeOf({ ...yarn, ...betas })).toEqual({ ...expected, beta_fast: 16, beta_slow: 2 });
    // llama.cpp multiplies YaRN's own factor by the file's
    const gain = { ...yarn, 'rope.scaling.attn_factor': 1.5 };
    const attention_factor = 1.5 * (0.1 * Math.log(4) + 1);
    expect(ropeOf(gain)).toEqual({ ...expected, attention_factor });
    expect(ropeOf({ ...yarn, 'rope.scaling.attn_factor': 1 })).toEqual(expected);
    for (const [key, neutral] of [
      ['yarn_ext_factor', 1],
      ['yarn_attn_factor', 1],
      ['yarn_log_multiplier', 0],
    ] as const) {
      expect(ropeOf({ ...yarn, [`rope.scaling.${key}`]: neutral + 5e-7 })).toEqual(expected);
      for (const change of [0.5, -0.5]) {
        expect(() => ropeOf({ ...yarn, [`rope.scaling.${key}`]: neutral + change })).toThrow(
          refusal(`The model's RoPE scaling sets ${key}, which is not supported.`, {
            key: `llama.rope.scaling.${key}`,
          }),
        );
      }
    }
  });

  it('may be longrope, with factors for long and short texts', () => {
    const rope_factors = { long: Float32Array.of(2, 4), short: Float32Array.of(1, 2) };
    const values = { 'rope.scaling.original_context_length': 64 };
    const expected = {
      ...common,
      rope_type: 'longrope',
      long_factor: [2, 4],
      short_factor: [1, 2],
      original_max_position_embeddings: 64,
    };
    expect(ropeOf(values, { rope_factors })).toEqual(expected);
    const gain = { ...values, 'rope.scaling.attn_factor': 1.25 };
    expect(ropeOf(gain, { rope_factors })).toEqual({ ...expected, attention_factor: 1.25 });
    const { long } = rope_factors;
    expect(ropeOf({}, { rope_factors: { long } })).toMatchObject({ rope_type: 'default' });
  });

  /** The divisors of llama3 scaling by its definition, for 8 frequencies. */
  const divisors = (factor: number, original: number) =>
    Float32Array.from({ length: 8 }, (_, i) => {
      const wavelength = 2 * Math.PI * 10_000 ** (i / 8);
      if (wavelength < original / 4) return 1;
      if (wavelength > original) return factor;
      const smooth = (original / wavelength - 1) / 3;
      return 1 / ((1 - smooth) / factor + smooth);
    });

  it.each([
    [8, 8192],
    [32, 8192],
    [8, 64],
    [4, 1024],
  ])('may be that of llama3: factor %i, original length %i', (factor, original) => {
    const rope_factors = { freqs: divisors(factor, original) };
    expect(ropeOf({}, { rope_factors })).toEqual({
      ...common,
      rope_type: 'llama3',
      low_freq_factor: 1,
      high_freq_factor: 4,
      factor,
      original_max_position_embeddings: original,
    });
  });

  it('is refused when its factors are of an unknown kind', () => {
    const expected = refusal('The file has RoPE factors of an unknown kind.', {
      tensor: 'rope_freqs.weight',
    });
    for (const freqs of [
      divisors(8, 8192).map((x, i) => (i === 4 ? x * 1.01 : x)),
      divisors(8, 8192).subarray(1),
      Float32Array.of(8, 1, 8, 1, 8, 1, 8, 1),
    ]) {
      expect(() => ropeOf({}, { rope_factors: { freqs } })).toThrow(expected);
    }
  });
});
