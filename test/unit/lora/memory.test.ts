import { describe, expect, it } from 'vitest';
import {
  estimateFullFineTuning,
  estimateMemory,
  PROCESS,
  type BatchShape,
} from '../../../src/lora/memory';
import { modulesOf } from '../../../src/formats/architecture/modules';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { modelSize } from '../../../src/formats/architecture/size';
import type { StepPlan } from '../../../src/shared/run';
import { matchTargets } from '../../../src/lora/targets';

const smollm2 = {
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49152,
  tie_word_embeddings: true,
};
const targets = matchTargets(modulesOf(readSpec(smollm2, 'config.json')), {
  target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
}).matched;
const all = matchTargets(modulesOf(readSpec(smollm2, 'config.json')), {
  target_modules: 'all-linear',
}).matched;
const F32: StepPlan = { base_dtype: 'float32', recomputed_layers: 0 };
const estimate = ({ rows, length }: BatchShape, { r = 8, plan = F32, adapted = targets } = {}) =>
  estimateMemory(
    modelSize({ spec: readSpec(smollm2, 'config.json'), parameters: 134_515_008 }),
    { modules: adapted, ranks: r },
    { rows, length },
    plan,
  );

/**
 * MiB at the peak of `npm run bench:memory`, less what the process has before the model: rows of
 * [batch, length, recomputed layers, q k v o, all-linear].
 */
const MEASURED: Readonly<
  Record<StepPlan['base_dtype'], readonly (readonly [number, number, number, number, number])[]>
> = {
  float32: [
    [4, 256, 0, 1405, 1472],
    [4, 256, 29, 804, 838],
    [1, 1024, 0, 1418, 1486],
    [8, 128, 0, 1398, 1466],
    [4, 512, 15, 1487, 1574],
    [1, 64, 0, 651, 688],
  ],
  bfloat16: [
    [4, 256, 0, 802, 854],
    [4, 256, 29, 467, 524],
    [1, 1024, 0, 809, 849],
    [8, 128, 0, 802, 836],
    [4, 512, 15, 919, 955],
    [1, 64, 0, 351, 387],
  ],
};
const EMPTY = 102;

/** In full fine-tuning, with all that the process has: rows of [batch, length, recomputed, all]. */
const MEASURED_FULL = [
  [4, 256, 0, 3363],
  [1, 64, 0, 2683],
  [4, 256, 29, 2899],
  [4, 512, 15, 3592],
  [8, 128, 0, 3356],
] as const;
const EMPTY_FULL = 278;

describe('training memory of what trains beside LoRA', () => {
  it('has its copy, gradients and moments', () => {
    const size = modelSize({ spec: readSpec(smollm2, 'config.json'), parameters: 134_515_008 });
    const [without, own] = [0, 1_000_000].map((besides) =>
      estimateMemory(size, { modules: targets, ranks: 8, besides }, { rows: 1, length: 64 }, F32),
    ) as [ReturnType<typeof estimateMemory>, ReturnType<typeof estimateMemory>];
    expect(own.gradients - without.gradients).toBe(4e6);
    expect(own.optimizer - without.optimizer).toBe(8e6);
    expect(own.total - without.total).toBe(28e6);
  });
});

describe('training memory', () => {
  it.each(Object.entries(MEASURED))(
    'is within 10 % of the measurement for SmolLM2-135M in %s, with and without recomputed layers',
    (base_dtype, rows) => {
      for (const [batch, length, recomputed_layers, attention, linear] of rows) {
        const plan = { base_dtype: base_dtype as StepPlan['base_dtype'], recomputed_layers };
        for (const [adapted, measured] of [
          [targets, attention],
          [all, linear],
        ] as const) {
          const estimated =
            (estimate({ rows: batch, length }, { plan, adapted }).total - PROCESS) / 2 ** 20 +
            EMPTY;
          expect(
            Math.abs(estimated / (measured + EMPTY) - 1),
            `${batch} x ${length}, ${adapted.length} modules`,
          ).toBeLessThan(0.1);
        }
      }
    },
  );

  it('is within 10 % of the measurement in full fine-tuning', () => {
    const size = modelSize({ spec: readSpec(smollm2, 'config.json'), parameters: 134_515_008 });
    for (const [batch, length, recomputed_layers, measured] of MEASURED_FULL) {
      const estimated =
        (estimateFullFineTuning(
          size,
          { rows: batch, length },
          { base_dtype: 'float32', recomputed_layers },
        ).total -
          PROCESS) /
          2 ** 20 +
        EMPTY_FULL;
      expect(Math.abs(estimated / measured - 1), `${batch} x ${length}`).toBeLessThan(0.1);
    }
  });

  it('is the sum of its parts, where only the activations grow with the tokens', () => {
    const one = estimate({ rows: 1, length: 256 });
    const four = estimate({ rows: 4, length: 256 });
    for (const { total, ...parts } of [one, four])
      expect(total).toBe(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0));
    expect(one.weights).toBe(134_515_008 * 4);
    expect(four.weights).toBe(one.weights);
    expect(four.activations).toBe(4 * one.activations);
    expect(estimate({ rows: 1, length: 256 }, { r: 16 }).adapter).toBe(2 * one.adapter);
    expect(estimate({ rows: 4, length: 1024 }).working).toBeGreaterThan(four.working);
  });

  it('reads attention and key-value heads from both config layouts', () => {
    const sizeOf = (config: Record<string, unknown>) =>
      modelSize({ spec: readSpec(config, 'config.json'), parameters: 0 });
    expect(sizeOf(smollm2)).toMatchObject({ q_size: 576, kv_size: 192, num_layers: 30 });
    expect(sizeOf({ ...smollm2, head_dim: 32, num_key_value_heads: undefined })).toMatchObject({
      q_size: 288,
      kv_size: 288,
    });
  });
});
