import { describe, expect, it } from 'vitest';
import { estimateMemory } from '../../../src/lora/memory';
import { modulesOf } from '../../../src/formats/architecture/modules';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { modelSize } from '../../../src/formats/architecture/size';
import { matchTargets } from '../../../src/lora/targets';

const smollm2 = {
  model_type: 'llama', hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3, vocab_size: 49152, tie_word_embeddings: true,
};
const targets = matchTargets(modulesOf(readSpec(smollm2, 'config.json')), { target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] }).matched;
const estimate = (batch: number, length: number, r = 8) => estimateMemory(modelSize({ spec: readSpec(smollm2, 'config.json'), parameters: 134_515_008 }), targets, r, batch, length);

describe('the memory that a training needs', () => {
  it('is near what was measured: 1.85 GB for SmolLM2-135M, r = 8 on q, k, v, o, batch 4 x 256', () => {
    const { total } = estimate(4, 256);
    expect(total).toBeGreaterThan(0.9 * 1.85e9);
    expect(total).toBeLessThan(1.15 * 1.85e9);
  });

  it('is the sum of its parts, of which the weights stay and the activations grow with the tokens', () => {
    const [one, four] = [estimate(1, 256), estimate(4, 256)];
    for (const { total, ...parts } of [one, four]) expect(total).toBe(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0));
    expect(one.weights).toBe(134_515_008 * 4);
    expect(four.weights).toBe(one.weights);
    expect(four.activations).toBe(4 * one.activations);
    expect(estimate(1, 256, 16).adapter).toBe(2 * one.adapter);
    expect(estimate(1, 1024).working).toBeGreaterThan(four.working);
  });

  it('counts heads and key heads in either layout of the config', () => {
    const sizeOf = (config: Record<string, unknown>) => modelSize({ spec: readSpec(config, 'config.json'), parameters: 0 });
    expect(sizeOf(smollm2)).toMatchObject({ q_size: 576, kv_size: 192, num_layers: 30 });
    expect(sizeOf({ ...smollm2, head_dim: 32, num_key_value_heads: undefined })).toMatchObject({ q_size: 288, kv_size: 288 });
  });
});
