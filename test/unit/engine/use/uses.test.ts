import { expect, it } from 'vitest';
import { USES } from '../../../../src/engine/use/uses';
import type { BaseModel } from '../../../../src/formats/baseModel';
import { openBase } from '../../../../src/formats/openBase';
import type { Adapter, LoraFactors } from '../../../../src/lora/adapter';
import { PLAIN_LORA } from '../../../../src/lora/newAdapter';

async function onBase<T>(folder: string, use: (base: BaseModel) => T): Promise<T> {
  const base = await openBase(folder);
  try {
    return use(base);
  } finally {
    await base.close();
  }
}

const adapterOf = (path: string): Adapter => {
  const numbers = { r: 1, in_features: 1, out_features: 1, scaling: 1, magnitude: null };
  const factors: LoraFactors = {
    ...{ path, kind: 'linear', ...numbers },
    ...{ A: Float32Array.of(1), B: Float32Array.of(1) },
  };
  const config = { ...PLAIN_LORA, base_model_name_or_path: null, raw: {} };
  return { config, modules: [factors], trained: [] };
};

it.each([
  ['vllm', 'vLLM does not run encoder-decoders (t5).'],
  ['mlx', 'mlx-lm does not run encoder-decoders (t5).'],
] as const)('%s cannot use T5, nor with a merged adapter', async (tool, message) => {
  const refused = await onBase('test/fixtures/t5/base', (base) => USES[tool].refuses(base));
  expect(refused?.message).toBe(message);
  expect(await onBase('test/fixtures/llama3/base', (base) => USES[tool].refuses(base))).toBeNull();
});

it('vLLM does not adapt the vision encoder', async () => {
  const path = 'model.visual.blocks.0.attn.proj';
  const folder = 'test/fixtures/qwen3-vl-images/base';
  const lossesOf = (own: string) =>
    onBase(folder, (base) => USES.vllm.losses(adapterOf(own), base));
  expect(await lossesOf(path)).toEqual([
    `vLLM adapts the language model alone, and ${path} belongs to the vision encoder`,
  ]);
  expect(await lossesOf('model.layers.0.self_attn.q_proj')).toEqual([]);
});
