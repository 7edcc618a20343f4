import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import type { BaseModel } from '../../src/formats/baseModel';
import { mergeInto } from '../../src/lora/merge';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { LabelledInput, Model } from '../../src/models/model';
import { createRandom } from '../../src/shared/random';
import { gap, largest, tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase, smallInput } from '../support/smallModel';

const VOCAB = 40;
const LENGTH = 9;

/** Random small decoders of every family. */
const configs = fc
  .record({
    family: fc.constantFrom(
      'llama',
      'mistral',
      'qwen2',
      'qwen3',
      'olmo2',
      'smollm3',
      'gemma',
      'gemma2',
      'gemma3_text',
      'phi3',
      'gpt2',
      'gpt_neox',
      'lfm2',
      'qwen3_moe',
      'olmo3',
      'exaone4',
      'granite',
      'qwen3_5_text',
      'hunyuan_v1_dense',
    ),
    kv: fc.constantFrom(1, 2),
    group: fc.constantFrom(1, 2, 3),
    half: fc.integer({ min: 1, max: 4 }),
    layers: fc.integer({ min: 1, max: 3 }),
    tied: fc.boolean(),
    bias: fc.boolean(),
    window: fc.option(fc.integer({ min: 1, max: 12 }), { nil: null }),
    seed: fc.integer({ min: 0, max: 1e6 }),
    parallel: fc.boolean(),
  })
  .map(({ family, kv, group, half, layers, tied, bias, window, seed, parallel }) => {
    const heads = kv * group;
    const head_dim = 2 * half;
    const sizes =
      family === 'gpt2' || family === 'gpt_neox'
        ? { hidden_size: heads * head_dim, num_key_value_heads: heads }
        : { hidden_size: 12, num_key_value_heads: kv, head_dim };
    return {
      seed,
      config: {
        model_type: family,
        vocab_size: VOCAB,
        pad_token_id: null, // its row would have no gradient
        intermediate_size: 10,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        tie_word_embeddings: tied,
        attention_bias: bias,
        mlp_bias: bias,
        sliding_window: window ?? (family.startsWith('gemma') ? 4 : null),
        rope_theta: 100,
        max_position_embeddings: 32,
        use_parallel_residual: parallel,
        query_pre_attn_scalar: 7,
        rotary_pct: 1,
        attn_logit_softcapping: 3,
        final_logit_softcapping: 2,
        full_attn_idxs: [1], // LFM2's other layers are convolutions
        full_attention_interval: 2,
        partial_rotary_factor: 1,
        linear_num_key_heads: kv,
        linear_num_value_heads: heads,
        linear_key_head_dim: half,
        linear_value_head_dim: 3,
        ...(family === 'qwen3_moe' && {
          num_experts: 3,
          num_experts_per_tok: 2,
          moe_intermediate_size: 6,
          norm_topk_prob: bias,
          mlp_only_layers: [1],
        }),
        ...sizes,
      },
    };
  });

// f32 alone makes a few decoders in a thousand miss a bound, so npm test tries the same ones each
// time; FUZZ_SEED chooses others
fc.configureGlobal({ seed: Number(process.env['FUZZ_SEED'] ?? 1) });

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

async function using<T>(
  base: BaseModel,
  adapter: Adapter,
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await loadModel(base, adapter, { ops });
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}

/** An adapter on a random choice of the modules. */
function someAdapter(config: Readonly<Record<string, unknown>>, seed: number): Adapter {
  const random = createRandom(seed, 'modules');
  const adapter = smallAdapter(() => random() < 0.6, config);
  return adapter.modules.length > 0 ? adapter : smallAdapter(() => true, config);
}

/** The base with W + dW for each W. */
function merged(base: BaseModel, adapter: Adapter): BaseModel {
  const byName = new Map(adapter.modules.map((m) => [`${m.path}.weight`, m]));
  const readF32 = async (name: string, target?: Float32Array): Promise<Float32Array> => {
    const weight = (await base.weights.readF32(name)).slice();
    const module = byName.get(name);
    const [rows] = base.weights.tensors.get(name)!.shape;
    const transposed =
      module?.kind === 'linear' && rows === module.in_features && base.spec.family === 'gpt2';
    if (module) mergeInto(weight, module, transposed);
    target?.set(weight);
    return target ?? weight;
  };
  return { ...base, weights: { ...base.weights, readF32 } };
}

const input = (seed: number): LabelledInput => {
  const random = createRandom(seed, 'ids');
  const { labels, ...rest } = smallInput('none', 2, LENGTH, VOCAB);
  return { ...rest, input_ids: rest.input_ids.map(() => Math.floor(random() * VOCAB)), labels };
};

describe('any decoder', () => {
  it("has the base's logits with B = 0", async () => {
    await fc.assert(
      fc.asyncProperty(configs, async ({ config, seed }) => {
        const base = smallBase(config);
        const adapter = someAdapter(config, seed);
        const zero = {
          ...adapter,
          modules: adapter.modules.map((m): LoraFactors => ({
            ...m,
            B: new Float32Array(m.B.length),
          })),
        };
        const [a, b] = [
          await using(base, EMPTY_ADAPTER, (model) => model.logits(input(seed))),
          await using(base, zero, (model) => model.logits(input(seed))),
        ];
        expect(gap(a, b)).toBeLessThanOrEqual(1e-6 * Math.max(1, largest(a)));
      }),
      { numRuns: 30 },
    );
  });

  it('has the same logits with an adapter as after merging', async () => {
    await fc.assert(
      fc.asyncProperty(configs, async ({ config, seed }) => {
        const base = smallBase(config);
        const adapter = someAdapter(config, seed);
        const untied = adapter.modules.filter(
          (m) =>
            !(
              base.spec.head.kind === 'lm' &&
              base.spec.head.tied &&
              (m.kind === 'embedding' || m.path === 'lm_head' || m.path === 'embed_out')
            ),
        );
        // merge.test.ts merges what covers two weights, as gate_up_proj of experts does
        const single = untied.filter((m) => base.weights.tensors.has(`${m.path}.weight`));
        if (single.length === 0) return;
        const mergeable = { ...adapter, modules: single };
        const [a, b] = [
          await using(base, mergeable, (model) => model.logits(input(seed))),
          await using(merged(base, mergeable), EMPTY_ADAPTER, (model) => model.logits(input(seed))),
        ];
        expect(gap(a, b)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(a)));
      }),
      { numRuns: 30 },
    );
  });

  it('has the gradient of central differences along a random direction', async () => {
    await fc.assert(
      fc.asyncProperty(configs, async ({ config, seed }) => {
        const base = smallBase(config);
        const adapter = someAdapter(config, seed);
        const random = createRandom(seed, 'direction');
        const direction = adapter.modules.map((m) => ({
          A: m.A.map(() => random() - 0.5),
          B: m.B.map(() => random() - 0.5),
        }));
        const moved = (h: number): Adapter => ({
          ...adapter,
          modules: adapter.modules.map((m, i) => ({
            ...m,
            A: m.A.map((a, k) => a + h * direction[i]!.A[k]!),
            B: m.B.map((b, k) => b + h * direction[i]!.B[k]!),
          })),
        });
        const lossAt = async (h: number) =>
          using(base, moved(h), async (model) => (await model.evaluate(input(seed))).loss_sum);
        const slope = await using(base, adapter, async (model) => {
          await model.accumulate(input(seed), 0);
          const gradients = [...(await model.gradients(1)).values()];
          return gradients.reduce(
            (sum, { data }, i) =>
              sum +
              data.reduce(
                (s, g, k) =>
                  s + g * (i % 2 === 0 ? direction[i >> 1]!.A : direction[i >> 1]!.B)[k]!,
                0,
              ),
            0,
          );
        });
        const h = 2e-3;
        const measured =
          (8 * ((await lossAt(h)) - (await lossAt(-h))) -
            ((await lossAt(2 * h)) - (await lossAt(-2 * h)))) /
          (12 * h); // fourth order
        expect(Math.abs(slope - measured)).toBeLessThanOrEqual(
          2e-2 * Math.max(1, Math.abs(measured)),
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe('rows in one batch', () => {
  const lengths = [9, 4, 6];
  const rowsOf = (seed: number) =>
    lengths.map((length, i) => {
      const random = createRandom(seed, 'row', i);
      const ids = Array.from({ length }, () => Math.floor(random() * VOCAB));
      return { ids, labels: ids.map((id, t) => (t > 0 && random() < 0.6 ? id : -100)) };
    });
  type Row = ReturnType<typeof rowsOf>[number];
  const alone = ({ ids, labels }: Row): LabelledInput => ({
    batch: 1,
    length: ids.length,
    input_ids: Int32Array.from(ids),
    attention_mask: new Int32Array(ids.length).fill(1),
    labels: Int32Array.from(labels),
  });
  const padded = (rows: readonly Row[], side: 'left' | 'right'): LabelledInput => {
    const length = Math.max(...lengths);
    const fill = (values: readonly number[], by: number) =>
      side === 'left'
        ? [...new Array<number>(length - values.length).fill(by), ...values]
        : [...values, ...new Array<number>(length - values.length).fill(by)];
    const flat = (select: (row: Row) => readonly number[], by: number) =>
      Int32Array.from(rows.flatMap((row) => fill(select(row), by)));
    return {
      batch: rows.length,
      length,
      input_ids: flat((r) => r.ids, 0),
      labels: flat((r) => r.labels, -100),
      attention_mask: flat((r) => r.ids.map(() => 1), 0),
    };
  };
  const packed = (rows: readonly Row[]): LabelledInput => ({
    batch: 1,
    length: rows.reduce((n, r) => n + r.ids.length, 0),
    input_ids: Int32Array.from(rows.flatMap((r) => r.ids)),
    labels: Int32Array.from(rows.flatMap((r) => r.labels)),
    attention_mask: new Int32Array(rows.reduce((n, r) => n + r.ids.length, 0)).fill(1),
    position_ids: Int32Array.from(rows.flatMap((r) => r.ids.map((_, t) => t))),
    segment_ids: Int32Array.from(rows.flatMap((r, i) => r.ids.map(() => i))),
  });
  const accumulated = (
    inputs: readonly LabelledInput[],
    config: Readonly<Record<string, unknown>>,
    seed: number,
  ) =>
    using(smallBase(config), someAdapter(config, seed), async (model) => {
      let [loss_sum, labelled] = [0, 0];
      for (const one of inputs) {
        const part = await model.accumulate(one, 0);
        loss_sum += part.loss_sum;
        labelled += part.labelled;
      }
      return {
        loss_sum,
        labelled,
        gradients: Float32Array.from(
          [...(await model.gradients(1)).values()].flatMap(({ data }) => [...data]),
        ),
      };
    });

  it('have the same gradients padded right, padded left (with RoPE) and packed as separately', async () => {
    await fc.assert(
      fc.asyncProperty(configs, async ({ config, seed }) => {
        const rows = rowsOf(seed);
        const want = await accumulated(rows.map(alone), config, seed);
        // with weights after RoPE (HunYuan), scores depend on more than distances
        const isRotary = !['gpt2', 'hunyuan_v1_dense'].includes(config['model_type']);
        for (const batch of [
          padded(rows, 'right'),
          ...(isRotary ? [padded(rows, 'left')] : []),
          packed(rows),
        ]) {
          const have = await accumulated([batch], config, seed);
          expect(have.labelled).toBe(want.labelled);
          expect(Math.abs(have.loss_sum - want.loss_sum)).toBeLessThanOrEqual(
            1e-4 * Math.max(1, want.loss_sum),
          );
          expect(gap(have.gradients, want.gradients)).toBeLessThanOrEqual(
            2e-4 * Math.max(1e-2, largest(want.gradients)),
          );
        }
      }),
      { numRuns: 25 },
    );
  });

  it('have no effect and give no NaN if they are only padding', async () => {
    const config = {
      model_type: 'llama',
      vocab_size: VOCAB,
      hidden_size: 12,
      intermediate_size: 10,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      rms_norm_eps: 1e-6,
    };
    const row = rowsOf(1)[0]!;
    const want = await accumulated([alone(row)], config, 1);
    const { input_ids, labels, attention_mask, length } = alone(row);
    const extended = (row: Int32Array, by: number) =>
      Int32Array.from([...row, ...new Array<number>(length).fill(by)]);
    const have = await accumulated(
      [
        {
          batch: 2,
          length,
          input_ids: extended(input_ids, 0),
          labels: extended(Int32Array.from(labels), -100),
          attention_mask: extended(attention_mask, 0),
        },
      ],
      config,
      1,
    );
    expect(gap(have.gradients, want.gradients)).toBeLessThanOrEqual(1e-5);
    expect(have.gradients.every(Number.isFinite)).toBe(true);
  });
});

it('a fully masked row gives no NaN and does not change the others', async () => {
  await fc.assert(
    fc.asyncProperty(configs, async ({ config, seed }) => {
      const own = input(seed);
      const longer = (values: Int32Array, fill: number) =>
        Int32Array.from([...values, ...new Array<number>(LENGTH).fill(fill)]);
      const withMasked: LabelledInput = {
        ...own,
        batch: 3,
        input_ids: longer(own.input_ids, 1),
        attention_mask: longer(own.attention_mask, 0),
        labels: longer(own.labels as Int32Array, -100),
      };
      const accumulated = (of: LabelledInput) =>
        using(smallBase(config), someAdapter(config, seed), async (model) => ({
          ...(await model.accumulate(of, 0)),
          gradients: await model.gradients(1),
          logits: await model.logits(of),
        }));
      const [alone, together] = [await accumulated(own), await accumulated(withMasked)];
      expect(together.logits.every(Number.isFinite)).toBe(true);
      expect(Math.abs(together.loss_sum - alone.loss_sum)).toBeLessThanOrEqual(
        1e-5 * Math.max(1, alone.loss_sum),
      );
      for (const [name, { data }] of alone.gradients)
        expect(gap(together.gradients.get(name)!.data, data)).toBeLessThanOrEqual(
          1e-4 * Math.max(1e-2, largest(data)),
        );
    }),
    { numRuns: 20 },
  );
});
