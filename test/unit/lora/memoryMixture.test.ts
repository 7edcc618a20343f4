import { expect, it } from 'vitest';
import { adaptedModulesOf } from '../../../src/formats/architecture/modules';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { modelSize, parametersOf } from '../../../src/formats/architecture/size';
import { estimateMemory, PROCESS } from '../../../src/lora/memory';

/** The geometry mixture-32x4 of test/bench/train.ts. */
const spec = readSpec(
  {
    model_type: 'qwen3_moe',
    vocab_size: 32768,
    hidden_size: 512,
    intermediate_size: 1536,
    moe_intermediate_size: 256,
    num_experts: 32,
    num_experts_per_tok: 4,
    norm_topk_prob: true,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 64,
    tie_word_embeddings: true,
    rope_theta: 1000000,
  },
  'config.json',
);
/** MiB of the process before it has a model. */
const EMPTY = 102;
const TARGETS = {
  attention: /\.[qkvo]_proj$/,
  experts: /\.(?:gate_up|down)_proj$/,
} as const;

/**
 * MiB at the peak of test/bench/train.ts: rows of
 * [batch, length, recomputed layers, [f32, bf16]].
 */
const MEASURED: Readonly<
  Record<keyof typeof TARGETS, readonly (readonly [number, number, number, number[]])[]>
> = {
  attention: [
    [4, 256, 0, [1036, 728]],
    [1, 64, 0, [671, 425]],
    [4, 256, 7, [788, 514]],
    [4, 512, 0, [1405, 1040]],
  ],
  experts: [
    [4, 256, 0, [1168, 824]],
    [1, 64, 0, [789, 546]],
    [4, 256, 7, [913, 636]],
    [4, 512, 0, [1550, 1144]],
  ],
};

const cases = (['attention', 'experts'] as const).flatMap((targets) =>
  MEASURED[targets].flatMap(([rows, length, recomputed_layers, peaks]) =>
    peaks.map((peak, i) => ({
      targets,
      rows,
      length,
      recomputed_layers,
      base_dtype: i === 0 ? ('float32' as const) : ('bfloat16' as const),
      peak,
    })),
  ),
);

it.each(cases)(
  'a mixture of experts needs what was measured, within 10 %: $targets, $base_dtype, $rows x $length, $recomputed_layers recomputed',
  ({ targets, rows, length, recomputed_layers, base_dtype, peak }) => {
    const modules = adaptedModulesOf(spec).filter(({ path }) => TARGETS[targets].test(path));
    const { total } = estimateMemory(
      modelSize({ spec, parameters: parametersOf(spec) }),
      { modules, ranks: 8 },
      { rows, length },
      { base_dtype, recomputed_layers },
    );
    const estimated = (total - PROCESS) / 2 ** 20 + EMPTY;
    expect(Math.abs(estimated / peak - 1), `${estimated} of ${peak}`).toBeLessThan(0.1);
  },
);
