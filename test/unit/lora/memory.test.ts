import { describe, expect, it } from 'vitest';
import {
  estimateFullFineTuning,
  estimateMemory,
  PROCESS,
  type BatchShape,
} from '../../../src/lora/memory';
import { countedTensors } from '../../../src/formats/architecture/trainedBeside';
import { NO_BESIDES } from '../../../src/lora/count';
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
const named = (target_modules: string | readonly string[]) =>
  matchTargets(modulesOf(readSpec(smollm2, 'config.json')), { target_modules }).matched;
const targets = named(['q_proj', 'k_proj', 'v_proj', 'o_proj']);
const all = named('all-linear');
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

interface TrainedBesides {
  readonly adapted?: typeof targets;
  readonly save?: readonly string[];
  readonly rows?: number;
  readonly use_dora?: boolean;
  readonly recomputed_layers?: number;
}

const DORA = { adapted: all, use_dora: true };
const EMBEDDING = { save: ['model.embed_tokens'] };
const OUTPUT = { save: ['lm_head'] };

/** With what the process has, of 4 rows: what trains, in which type, their tokens, MiB. */
const MEASURED_BESIDE: readonly (readonly [
  TrainedBesides,
  StepPlan['base_dtype'],
  number,
  number,
])[] = [
  [EMBEDDING, 'bfloat16', 48, 1516],
  [EMBEDDING, 'float32', 48, 1862],
  [EMBEDDING, 'bfloat16', 256, 1928],
  [OUTPUT, 'bfloat16', 48, 1671],
  [OUTPUT, 'float32', 48, 1980],
  [OUTPUT, 'float32', 256, 2606],
  [{ save: [...EMBEDDING.save, ...OUTPUT.save] }, 'bfloat16', 256, 2754],
  [{ rows: 1000 }, 'bfloat16', 48, 681],
  [{ rows: 1000 }, 'float32', 48, 1062],
  [{ rows: 1000 }, 'bfloat16', 256, 1077],
  [{ rows: 1000 }, 'float32', 256, 1661],
  [DORA, 'bfloat16', 48, 750],
  [DORA, 'float32', 48, 1091],
  [DORA, 'bfloat16', 256, 1731],
  [DORA, 'float32', 256, 2248],
  [{ ...DORA, recomputed_layers: 29 }, 'bfloat16', 256, 690],
  [{ ...DORA, recomputed_layers: 29 }, 'float32', 256, 985],
  [{ adapted: named(['embed_tokens', 'q_proj']), use_dora: true }, 'bfloat16', 48, 799],
  [{ adapted: named(['embed_tokens', 'q_proj']), use_dora: true }, 'float32', 48, 935],
  [{ adapted: named(['lm_head', 'q_proj']), use_dora: true }, 'bfloat16', 48, 817],
  [{ adapted: named(['lm_head', 'q_proj']), use_dora: true }, 'float32', 48, 972],
];

describe('training memory of what trains beside LoRA', () => {
  it('has its copies, gradients and moments', () => {
    const size = modelSize({ spec: readSpec(smollm2, 'config.json'), parameters: 134_515_008 });
    const [without, own] = [0, 1_000_000].map((whole) => {
      const besides = { ...NO_BESIDES, whole, largest: whole };
      const adapted = { modules: targets, ranks: 8, besides };
      return estimateMemory(size, adapted, { rows: 1, length: 64 }, F32);
    }) as [ReturnType<typeof estimateMemory>, ReturnType<typeof estimateMemory>];
    expect(own.gradients - without.gradients).toBe(4e6);
    expect(own.optimizer - without.optimizer).toBe(8e6);
    expect(own.total - without.total).toBe(36e6);
  });

  it.each(MEASURED_BESIDE)(
    'is within 10 % of the measurement where more than A and B trains: case %#',
    (trained, base_dtype, length, measured) => {
      const { adapted = targets, save = [], rows = 0, ...more } = trained;
      const spec = readSpec(smollm2, 'config.json');
      const besides = {
        ...countedTensors(
          spec,
          save.map((name) => ({ name: `${name}.weight`, shape: [49152, 576] })),
        ),
        rows: rows * 576,
      };
      const { recomputed_layers = 0, use_dora = false } = more;
      const { total } = estimateMemory(
        modelSize({ spec, parameters: 134_515_008 }),
        { modules: adapted, ranks: 8, use_dora, besides },
        { rows: 4, length },
        { base_dtype, recomputed_layers },
      );
      const estimated = (total - PROCESS) / 2 ** 20 + EMPTY;
      expect(Math.abs(estimated / measured - 1)).toBeLessThan(0.1);
    },
  );
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
