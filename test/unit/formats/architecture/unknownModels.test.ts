import { describe, expect, it } from 'vitest';
import { KNOWN_FAMILIES } from '../../../../src/formats/architecture/families';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { ggufFamilyOf } from '../../../../src/formats/gguf/families';
import { LoraError } from '../../../../src/shared/errors';

function refusal(read: () => unknown): LoraError {
  try {
    read();
  } catch (error) {
    if (error instanceof LoraError) return error;
    throw error;
  }
  throw new Error('It is not refused');
}

/** The model_type, what it is, the nearest known one, and what is missing. */
const UNKNOWN: readonly (readonly [string, RegExp, string, RegExp])[] = [
  ['falcon_h1', /attention beside a state-space model/, 'qwen3_5_text', /scan \(Mamba\)/],
  ['jamba', /attention beside a state-space model/, 'qwen3_5_text', /scan \(Mamba\)/],
  ['mamba', /a recurrent model/, 'qwen3_5_text', /scan \(Mamba\)/],
  ['mamba2', /a recurrent model/, 'qwen3_5_text', /scan \(Mamba\)/],
  ['rwkv', /a recurrent model/, 'qwen3_5_text', /its recurrence over tokens/],
  ['whisper', /an encoder-decoder/, 't5', /the encoder of speech/],
  ['phi4mm', /images, speech and text/, 'phi3', /the encoder of speech/],
  ['deepseek_v3', /a mixture of experts/, 'qwen3_moe', /multi-head latent attention/],
  ['glm4_moe', /a mixture of experts/, 'qwen3_moe', /sigmoid scores/],
  ['nemotron', /a decoder with LayerNorm/, 'llama', /the squared ReLU/],
];

describe('a model that is not known', () => {
  it.each(UNKNOWN)('%s is named, with the nearest known one', (model_type, what, nearest, part) => {
    const { message, fix, place } = refusal(() => readSpec({ model_type }, 'config.json'));
    expect(place).toEqual({ file: 'config.json', key: 'model_type' });
    expect(message).toContain(`(${model_type}), which is not supported`);
    expect(message).toMatch(what);
    expect(KNOWN_FAMILIES).toContain(nearest);
    expect(fix).toContain(`the nearest known architecture, "${nearest}": `);
    expect(fix).toMatch(part);
    expect(fix).toMatch(/ is missing here\.$/);
  });

  it.each([
    ['falcon-h1', 'qwen3_5_text'],
    ['rwkv7', 'qwen3_5_text'],
    ['deepseek2', 'qwen3_moe'],
    ['glm4moe', 'qwen3_moe'],
  ])('has the same nearest one in a GGUF file: %s', (arch, nearest) => {
    const { message, fix } = refusal(() => ggufFamilyOf(arch, 'a.gguf'));
    expect(message).toContain(`The architecture "${arch}" is not supported in GGUF files.`);
    expect(fix).toContain(`the nearest known architecture, "${nearest}": `);
  });
});
