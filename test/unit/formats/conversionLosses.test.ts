import { describe, expect, it } from 'vitest';
import { conversionLosses } from '../../../src/formats/conversionLosses';
import { openBase } from '../../../src/formats/openBase';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';

const factors = (path: string, change: Partial<LoraFactors> = {}): LoraFactors => ({
  path,
  kind: path.endsWith('embed_tokens') ? 'embedding' : 'linear',
  r: 1,
  in_features: 2,
  out_features: 2,
  scaling: 1,
  A: Float32Array.of(1, 2),
  B: Float32Array.of(1, 2),
  magnitude: null,
  ...change,
});

const adapter = (...modules: LoraFactors[]): Adapter => ({
  config: { ...PLAIN_LORA, base_model_name_or_path: null, raw: {} },
  modules,
  trained: [],
});

const EMBEDDING = 'model.embed_tokens';
const ONE_WEIGHT = "has one weight for this base's embedding and output layer";

async function lossesOn(folder: string, own: Adapter, format: 'mlx' | 'gguf'): Promise<string[]> {
  const base = await openBase(folder);
  try {
    return conversionLosses(own, base, format);
  } finally {
    await base.close();
  }
}

describe('what is lost', () => {
  it.each([
    ['mlx', 'mlx-lm'],
    ['gguf', 'llama.cpp'],
  ] as const)('in %s, of layers that share a weight', async (format, name) => {
    const tied = 'test/fixtures/smollm3/base';
    for (const own of [EMBEDDING, 'lm_head']) {
      expect(await lossesOn(tied, adapter(factors(own)), format)).toEqual([
        `${name} ${ONE_WEIGHT}, so it cannot adapt ${own} alone`,
      ]);
    }
    expect(await lossesOn(tied, adapter(factors(EMBEDDING), factors('lm_head')), format)).toEqual([
      `${name} ${ONE_WEIGHT}, so it cannot store the factors of both`,
    ]);
  });

  it('in mlx-lm, of a language model that it has within another model only', async () => {
    const own = adapter(factors('model.layers.0.linear_attn.in_proj_qkv'));
    expect(await lossesOn('test/fixtures/qwen3_5/base', own, 'mlx')).toEqual([
      'the names of the family "qwen3_5_text" in mlx-lm are not known',
    ]);
    expect(await lossesOn('test/fixtures/vision-language/qwen3_5/base', own, 'mlx')).toEqual([]);
  });

  it.each(['mlx', 'gguf', 'kohya', 'diffusers'] as const)(
    'in %s, of the tower for images',
    async (format) => {
      const path = 'model.visual.merger.linear_fc1';
      const base = await openBase('test/fixtures/qwen3-vl-images/base');
      const lost = conversionLosses(adapter(factors(path)), base, format);
      expect(lost.some((own) => own.includes(`has no place for ${path}`))).toBe(true);
      const convolution = { ...factors('model.visual.patch_embed.proj'), kind: 'conv3d' as const };
      const all = conversionLosses(adapter(convolution), base, format);
      expect(all.some((own) => own.includes('adapters of convolutions: model.visual'))).toBe(true);
      await base.close();
    },
  );

  it.each([
    'encoder.block.0.layer.0.SelfAttention.q',
    'decoder.block.1.layer.1.EncDecAttention.v',
    'bert.encoder.layer.0.attention.self.query',
    'encoder.layer.0.attention.self.query',
    'distilbert.transformer.layer.0.attention.q_lin',
    'transformer.layer.0.attention.q_lin',
    'vit.layers.0.attention.q_proj',
    'text_model.encoder.layers.0.self_attn.q_proj',
    'model.encoder.layers.0.self_attn.q_proj',
    'model.layers.0.attn.Wqkv',
    'layers.0.self_attn.q_proj',
  ])('in mlx-lm without a base, of a module that no decoder has: %s', (path) => {
    expect(conversionLosses(adapter(factors(path)), null, 'mlx')).toEqual([
      `mlx-lm has no place for ${path}, which has the name of no decoder's module; if its base is one, choose it (--base)`,
    ]);
  });

  it.each([
    'model.layers.0.self_attn.q_proj',
    'model.language_model.layers.0.self_attn.q_proj',
    'model.text_model.layers.0.self_attn.q_proj',
    'transformer.h.0.attn.c_attn',
    'gpt_neox.layers.0.attention.query_key_value',
  ])('in mlx-lm without a base, of decoders nothing: %s', (path) => {
    expect(conversionLosses(adapter(factors(path)), null, 'mlx')).toEqual([]);
  });

  it("in mlx-lm, of an embedding's magnitudes, which it has by token", async () => {
    const dora = { magnitude: Float32Array.of(1, 1) };
    const untied = 'test/fixtures/llama3/base';
    expect(await lossesOn(untied, adapter(factors(EMBEDDING, dora)), 'mlx')).toEqual([
      "mlx-lm's DoRA scales model.embed_tokens by token, but PEFT's by dimension",
    ]);
    expect(await lossesOn(untied, adapter(factors('lm_head', dora)), 'mlx')).toEqual([]);
    expect(await lossesOn(untied, adapter(factors('lm_head', dora)), 'gguf')).toEqual([
      'llama.cpp does not support DoRA',
    ]);
  });
});
