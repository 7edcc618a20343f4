import fc from 'fast-check';
import { expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import { createRandom } from '../../src/shared/random';
import { gap, largest, tensorFlowOps } from '../support/models';
import { autodiffGradients } from '../support/naiveDecoder';
import { smallAdapter, smallBase, smallInput } from '../support/smallModel';

const VOCAB = 30;

const configs = fc
  .record({
    model_type: fc.constantFrom('llama', 'mistral', 'qwen2', 'qwen3'),
    kv: fc.constantFrom(1, 2),
    group: fc.constantFrom(1, 2, 3),
    half: fc.integer({ min: 1, max: 3 }),
    layers: fc.integer({ min: 1, max: 3 }),
    tied: fc.boolean(),
    bias: fc.boolean(),
    window: fc.option(fc.integer({ min: 1, max: 6 }), { nil: null }),
    seed: fc.nat(1e6),
  })
  .map(({ model_type, kv, group, half, layers, tied, bias, window, seed }) => ({
    seed,
    config: {
      model_type,
      vocab_size: VOCAB,
      hidden_size: 12,
      intermediate_size: 10,
      num_hidden_layers: layers,
      num_attention_heads: kv * group,
      num_key_value_heads: kv,
      head_dim: 2 * half,
      tie_word_embeddings: tied,
      attention_bias: bias,
      sliding_window: window,
      use_sliding_window: true,
      max_window_layers: 0,
      rope_theta: 100,
      max_position_embeddings: 32,
    },
  }));

it('matches the gradients of tfjs automatic differentiation for any small decoder', async () => {
  const ops = await tensorFlowOps();
  await fc.assert(
    fc.asyncProperty(configs, async ({ config, seed }) => {
      const random = createRandom(seed, 'modules');
      const base = smallBase(config);
      const linear = (path: string) =>
        path.endsWith('_proj') || (path === 'lm_head' && !config.tie_word_embeddings);
      const some = smallAdapter((path) => linear(path) && random() < 0.6, config);
      const adapter = some.modules.length > 0 ? some : smallAdapter(linear, config);
      const input = smallInput('none', 2, 8, VOCAB);
      const want = await autodiffGradients(base, adapter, input);
      const model = await loadModel(base, adapter, { ops });
      const { loss_sum } = await model.accumulate(input, 0);
      const have = await model.gradients(1);
      model.dispose();
      expect(Math.abs(loss_sum - want.loss)).toBeLessThanOrEqual(1e-5 * Math.max(1, want.loss));
      expect([...have.keys()].sort()).toEqual([...want.gradients.keys()].sort());
      for (const [name, data] of want.gradients)
        expect(gap(have.get(name)!.data, data), name).toBeLessThanOrEqual(
          1e-4 * Math.max(1e-2, largest(data)),
        );
    }),
    { numRuns: 30 },
  );
});
