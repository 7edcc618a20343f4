import { describe, expect, it } from 'vitest';
import {
  estimateFullFineTuning,
  estimateLoaded,
  estimateMemory,
  overheadOf,
} from '../../../src/lora/memory';
import type { ModelSize } from '../../../src/lora/modelSize';
import type { TargetableModule } from '../../../src/lora/adapter';
import type { StepPlan } from '../../../src/shared/run';

describe('model memory', () => {
  /** Two numbers for each position and number of q, k and v. */
  const rotaryTables = (length: number) => 2 * 4 * length * (8 + 2 * 4);
  /** Working memory beside the process, its overhead and the rotary tables. */
  const working = (
    change: Partial<ModelSize>,
    batch: { rows: number; length: number },
    plan: StepPlan = F32,
  ) => {
    const own = estimateMemory({ ...size, ...change }, { modules: [], ranks: 2 }, batch, plan);
    return own.working - overheadOf(own.activations) - rotaryTables(batch.length);
  };
  const activations = (
    change: Partial<ModelSize>,
    batch: { rows: number; length: number },
    plan: StepPlan = F32,
  ) => estimateMemory({ ...size, ...change }, { modules: [], ranks: 2 }, batch, plan).activations;
  const F32: StepPlan = { base_dtype: 'float32', recomputed_layers: 0 };
  const BF16: StepPlan = { base_dtype: 'bfloat16', recomputed_layers: 0 };
  const size: ModelSize = {
    quantized_bytes: null,
    parameters: 1000,
    hidden_size: 8,
    inner_size: 16,
    gated: false,
    num_layers: 2,
    q_size: 8,
    kv_size: 4,
    num_heads: 2,
    causal: true,
    delta: null,
    scores_rows: true,
    outputs: 10,
  };
  const linear = { path: 'q', kind: 'linear', in_features: 8, out_features: 8, is_output: false };

  it('is 1.2 times the weights for inference, plus the process', () => {
    expect(estimateLoaded({ parameters: 1e6 })).toBeCloseTo(1.2 * 4e6 + 360e6, 3);
  });

  it('takes working memory from the largest of MLP, attention and output layer', () => {
    const batch = { rows: 2, length: 4 };
    // per token: 6·8 + 3·16 values in the MLP, 5·8 + 3·(8 + 4) in attention, which has 4·2·2·4·4
    // scores; the output layer: 2·10 logits, 3·8 values
    expect(working({}, batch)).toBe(4 * Math.max(8 * 96, 8 * 76 + 4 * 2 * 2 * 16));
    expect(working({ inner_size: 20 }, batch)).toBe(4 * 8 * (48 + 60));
    expect(working({ inner_size: 40, gated: true }, batch)).toBe(4 * 8 * (48 + 160));
    expect(working({ outputs: 100 }, batch)).toBe(4 * 8 * (2 * 100 + 3 * 8));
    // in bf16, the products are half as large, the values between the layers are not
    expect(working({ inner_size: 40 }, batch, BF16)).toBe(8 * (4 * 48 + 2 * 120));
    expect(working({ inner_size: 1 }, batch, BF16)).toBe(
      8 * (4 * 40 + 2 * 3 * 12) + 4 * 2 * 2 * 2 * 16,
    );
    expect(working({ outputs: 100 }, batch, BF16)).toBe(8 * (2 * 2 * 100 + 4 * 3 * 8));
  });

  it('has the numbers of the output layer and of a matrix where they are in blocks', () => {
    const batch = { rows: 1, length: 4 };
    const plan = { ...BF16, quantized: true };
    const inBlocks = { quantized_bytes: 600, outputs: 1000 };
    const ofHead = 4 * (2 * 2 * 1000 + 4 * 3 * 8);
    expect(working(inBlocks, batch, plan)).toBe(ofHead + 2 * 1000 * 8 + 2 * 8 * 16);
    expect(working(inBlocks, batch, BF16)).toBe(ofHead);
    // an output layer that is not in blocks is multiplied as it is
    const dense = { ...inBlocks, dense_head: true };
    expect(working(dense, batch, plan)).toBe(ofHead + 2 * 8 * 16);
    const whileLoading = { outputs: 1000, quantizable: { nf4: dense, int8: inBlocks } };
    expect(working(whileLoading, batch, { ...plan, quantize: 'nf4' })).toBe(ofHead + 2 * 8 * 16);
    expect(working(whileLoading, batch, { ...plan, quantize: 'int8' })).toBe(
      working(inBlocks, batch, plan),
    );
    // read as numbers, they pass through the memory of the largest matrix's blocks
    const weights = (outputs: number, own: StepPlan) =>
      estimateMemory(
        { ...size, quantized_bytes: 600, outputs },
        { modules: [], ranks: 2 },
        batch,
        own,
      ).weights;
    expect(weights(10, plan)).toBe(600);
    expect(weights(10, BF16)).toBe(2000 + (600 * 80) / 1000);
    expect(weights(1000, BF16)).toBe(2000 + 600);
  });

  it('counts the intermediate values of an adapted MLP in f32', () => {
    const batch = { rows: 2, length: 4 };
    const wide = { ...size, inner_size: 100 };
    const of = (in_features: number, out_features: number) =>
      estimateMemory(
        wide,
        { modules: [{ ...linear, kind: 'linear', in_features, out_features } as const], ranks: 2 },
        batch,
      ).working;
    expect(of(8, 100) - of(8, 8)).toBe(8 * 4 * 100);
    expect(of(100, 8) - of(8, 8)).toBe(8 * 4 * 100);
  });

  it('holds at most 64 MiB of logits, and 128 rows of attention scores at once', () => {
    const many = { rows: 1, length: 1000 };
    expect(working({ outputs: 1e5, inner_size: 0 }, many)).toBe(2 * (32 << 20) + 4 * 3 * 1000 * 8);
    expect(working({ outputs: 1, inner_size: 0 }, many)).toBe(4 * (1000 * 76 + 4 * 2 * 128 * 1000));
  });

  it('stores attention probabilities only if they are no larger than the intermediate values', () => {
    const batch = { rows: 3, length: 8 };
    const perToken = 4 * (2 * 8 + 2) + 4 * (2 * 8 + 2 * 4);
    const both = (inner_size: number) => activations({ inner_size }, batch) / 2;
    // 3·2·8·8 = 384 scores against 2·3·8·inner
    expect(both(8)).toBe(24 * (perToken + 4 * 8) + 4 * 384);
    expect(both(7)).toBe(24 * (perToken + 4 * 7));
    expect(activations({ inner_size: 8 }, batch, BF16) / 2).toBe(
      24 * (4 * 18 + 2 * (24 + 8)) + 2 * 384,
    );
    expect(activations({ inner_size: 8, gated: true }, batch) / 2).toBe(
      24 * (perToken + 4 * 16) + 4 * 384,
    );
  });

  it('skips the keys after each block of 128 queries in causal attention', () => {
    const batch = { rows: 1, length: 300 };
    const [causal, full] = [true, false].map((own) =>
      activations({ causal: own, inner_size: 1e6 }, batch),
    ) as [number, number];
    const scores = 128 * 128 + 128 * 256 + 44 * 300;
    expect(full - causal).toBe(2 * 4 * 2 * (300 * 300 - scores));
  });

  it('grows with the tokens alone where scores exist in blocks only', () => {
    const blocks = { scores_rows: false, inner_size: 0 };
    const row = (length: number) => ({ rows: 1, length });
    // per token: 76 values of attention, the sums of 8, keys and values of 4
    expect(working({ ...blocks, outputs: 0 }, row(1e5))).toBe(4 * 1e5 * (76 + 8 + 2 * 4));
    expect(working({ ...blocks, outputs: 0 }, row(1e5), BF16)).toBe(
      1e5 * (4 * (40 + 8) + 2 * (36 + 2 * 4)),
    );
    // two numbers for each head instead of probabilities
    const kept = 4 * (2 * 8 + 2 + 2 * 2) + 4 * (2 * 8 + 2 * 4);
    expect(activations(blocks, row(300))).toBe(2 * 300 * kept);
  });

  it('sums the ranks of all modules per layer', () => {
    const ranked = (ranks: (module: TargetableModule) => number) =>
      estimateMemory(
        size,
        {
          modules: ['a', 'b', 'c'].map((path) => ({ ...linear, kind: 'linear', path }) as const),
          ranks,
        },
        { rows: 1, length: 4 },
      );
    const flat = ranked(() => 2);
    const more = ranked(({ path }) => (path === 'b' ? 6 : 2));
    expect(more.activations - flat.activations).toBe(2 * 4 * 4 * 2);
    expect(more.gradients - flat.gradients).toBe(4 * 16 * 4);
  });

  it('halves the weights in bf16', () => {
    const adapted = { modules: [], ranks: 2 };
    expect(estimateMemory(size, adapted, { rows: 1, length: 4 }, BF16).weights).toBe(2000);
  });

  it('counts f32 gradients and moments of all weights in full fine-tuning', () => {
    const batch = { rows: 2, length: 4 };
    const estimate = estimateFullFineTuning(size, batch, BF16);
    expect(estimate).toMatchObject({
      weights: 4000,
      adapter: 0,
      gradients: 4000,
      optimizer: 8000,
      activations: activations({}, batch),
    });
    // the inner values of the MLP in f32, and two blocks of the output layer's gradient
    expect(estimate.working - overheadOf(estimate.activations) - rotaryTables(4)).toBe(
      4 * (8 * 96 + 8 * 16) + 2 * 4 * 10 * 8,
    );
    expect(estimate.total).toBe(16000 + estimate.activations + estimate.working);
    expect(estimateFullFineTuning(size, batch)).toEqual(estimate);
  });

  it('sums weights, adapter, gradients, moments and activations for a training step', () => {
    const adapted = { modules: [{ ...linear, kind: 'linear' } as const], ranks: 2 };
    const estimate = estimateMemory(size, adapted, { rows: 1, length: 4 });
    // 32 trained parameters; per token 2·8 + 2 + 1 and 2·8 + 2·4 + 16 values in each of 2 layers,
    // and 2·4·4 probabilities
    expect(estimate).toMatchObject({
      weights: 4000,
      adapter: 256,
      gradients: 128,
      optimizer: 256,
      activations: 2 * (4 * 4 * (19 + 40) + 4 * 32),
    });
    const recomputed = { base_dtype: 'float32', recomputed_layers: 5 } as const;
    expect(estimateMemory(size, adapted, { rows: 1, length: 4 }, recomputed).activations).toBe(
      4 * 4 * (19 + 40) + 4 * 32 + 4 * 4 * 8, // never the last layer
    );
  });
});
