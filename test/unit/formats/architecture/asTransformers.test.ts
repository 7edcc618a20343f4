import { describe, expect, it } from 'vitest';
import { readSpec } from '../../../../src/formats/architecture/readSpec';

const SIZES = {
  vocab_size: 40,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const specOf = (model_type: string, config: object = {}) =>
  readSpec({ ...SIZES, model_type, ...config }, 'config.json');

describe('a config means what it does in transformers', () => {
  it.each([
    ['gemma', { hidden_act: 'gelu' }, 'gelu_tanh'],
    ['gemma', { hidden_act: 'gelu', hidden_activation: 'relu' }, 'gelu_tanh'],
    ['gemma', { hidden_activation: 'relu' }, 'gelu_tanh'],
    ['gemma', { hidden_act: 'relu' }, 'relu'],
    ['gemma2', { hidden_act: 'relu' }, 'gelu_tanh'],
    ['gemma2', { hidden_act: 'relu', hidden_activation: 'gelu' }, 'gelu'],
    ['gemma3_text', { hidden_act: 'relu', hidden_activation: 'silu' }, 'silu'],
    ['gemma4_text', { hidden_act: 'relu' }, 'gelu_tanh'],
  ])('the activation of %s with %o is %s', (model_type, config, activation) => {
    expect(specOf(model_type, config).layers[0]!.mlp.activation).toBe(activation);
  });

  it('only Gemma 2 caps the scores of attention', () => {
    const config = { attn_logit_softcapping: 20 };
    const capOf = (model_type: string) => specOf(model_type, config).layers[0]!.attention.softcap;
    expect(['gemma', 'gemma2', 'gemma3_text'].map(capOf)).toEqual([null, 20, null]);
  });

  it('Gemma 3 within a model for text and images does not cap its logits', () => {
    const text_config = { ...SIZES, model_type: 'gemma3_text', final_logit_softcapping: 20 };
    const inner = readSpec(text_config, 'config.json');
    const outer = readSpec({ model_type: 'gemma3', text_config }, 'config.json');
    expect(inner.head).toMatchObject({ kind: 'lm', softcap: 20 });
    expect(outer.head).toMatchObject({ kind: 'lm', softcap: null });
  });

  it('gpt-oss without a scaling has its default one, and the rope_theta that the config names', () => {
    const config = { num_local_experts: 4, rope_theta: 100 };
    expect(specOf('gpt_oss', config).layers[0]!.attention.rope).toMatchObject({
      theta: 100,
      scaling: { kind: 'yarn', factor: 32 },
    });
  });

  it('GPT-NeoX has names of its own for the two numbers of RoPE', () => {
    const ropeOf = (config: object) => specOf('gpt_neox', config).layers[0]!.attention.rope;
    expect(ropeOf({ rope_theta: 100, partial_rotary_factor: 1 })).toMatchObject({
      theta: 10_000,
      rotary_dim: 2,
    });
    expect(ropeOf({ rotary_emb_base: 100, rotary_pct: 1 })).toMatchObject({
      theta: 100,
      rotary_dim: 8,
    });
    expect(specOf('llama', { rotary_emb_base: 100 }).layers[0]!.attention.rope).toMatchObject({
      theta: 10_000,
    });
  });

  it('only some families rotate a part of a head', () => {
    const partial = { rope_parameters: { rope_theta: 100, partial_rotary_factor: 0.5 } };
    expect(specOf('phi3', partial).layers[0]!.attention.rope).toMatchObject({ rotary_dim: 4 });
    expect(specOf('llama', partial).layers[0]!.attention.rope).toMatchObject({ rotary_dim: 8 });
    const scaled = { rope_parameters: { rope_type: 'linear', factor: 2 } };
    expect(() => specOf('llama', { ...scaled, partial_rotary_factor: 0.5 })).toThrow(
      '"partial_rotary_factor" is 0.5, but models of this family rotate whole heads',
    );
  });

  it('OLMo 2 has an epsilon of 1e-5 where the config has none', () => {
    expect(specOf('olmo2').final_norm).toMatchObject({ eps: 1e-5 });
  });

  it.each([
    [{}, 4096],
    [{ sliding_window: null }, null],
    [{ sliding_window: 5 }, 5],
  ])('the window of Mistral with %o is %s', (config, window) => {
    expect(specOf('mistral', config).layers[0]!.attention.window).toBe(window);
  });
});

describe('a setting that is true or false', () => {
  const isTied = (tie_word_embeddings: unknown) => specOf('llama', { tie_word_embeddings }).head;

  it.each([
    [true, true],
    [1, true],
    [false, false],
    [0, false],
    [null, false],
    [undefined, false],
  ])('may be %s', (value, tied) => {
    expect(isTied(value)).toMatchObject({ tied });
  });

  it.each(['true', 'false', '', 2, [], {}])('is refused by its name where it is %j', (value) => {
    expect(() => isTied(value)).toThrow('"tie_word_embeddings" must be true or false');
  });
});

describe("the padding's row, which has no gradient", () => {
  const rowOf = (model_type: string, config: object = {}) => {
    const { embedding } = specOf(model_type, config);
    return embedding.kind === 'tokens' ? embedding.tokens.padding : null;
  };

  it.each([
    ['llama', { pad_token_id: 7 }, 7],
    ['llama', { pad_token_id: -1 }, 39],
    ['llama', { pad_token_id: 40 }, undefined],
    ['llama', { pad_token_id: null }, undefined],
    ['llama', {}, undefined],
    ['olmo2', {}, 1],
    ['gemma', {}, 0],
    ['gemma', { pad_token_id: null }, undefined],
    ['bert', {}, 0],
    ['roberta', {}, 1],
    ['mpnet', { pad_token_id: 3 }, 1],
    ['gpt2', { pad_token_id: 3 }, undefined],
    ['gpt_neox', { pad_token_id: 3 }, undefined],
  ])('of %s with %o is %s', (model_type, config, row) => {
    expect(rowOf(model_type, config)).toBe(row);
  });
});
