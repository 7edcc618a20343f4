import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BaseModel } from '../../src/formats/baseModel';
import { withQuantized } from '../../src/formats/quantized/source';
import { quantizedWhileLoading } from '../../src/formats/quantized/whileLoading';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput } from '../../src/models/model';
import type { FusedOps } from '../../src/models/ops/fusedOps';
import type { LayerKernels } from '../../src/models/ops/layerKernels';
import type { Ops } from '../../src/models/ops/ops';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Quantize } from '../../src/shared/trainingSettings';
import { fixtures, tensorFlowOps, withBase } from '../support/models';
import { smallAdapter, smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';
import { inBlocks } from '../support/storedBlocks';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

/** `target` with another value of one property. */
const withProperty = <T extends object, K extends keyof T>(target: T, key: K, value: T[K]): T =>
  new Proxy(target, { get: (own, name) => (name === key ? value : Reflect.get(own, name, own)) });

/** Ops whose layers are `layers`. */
const withLayers = (layers: LayerKernels | null): Ops =>
  withProperty<Ops, 'fused'>(
    ops,
    'fused',
    withProperty<FusedOps, 'layers'>(ops.fused!, 'layers', layers),
  );

/** The kernels, and how many layers each of their calls computes. */
function counted(layers: LayerKernels) {
  const calls = { forward: [] as number[], backward: [] as number[] };
  const counting: LayerKernels = {
    forward: (own, ...args) => {
      calls.forward.push(own.length);
      return layers.forward(own, ...args);
    },
    backward: (own, ...args) => {
      calls.backward.push(own.length);
      return layers.backward(own, ...args);
    },
  };
  return { calls, counting };
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const LLAMA = {
  ...SMALL_CONFIG,
  model_type: 'llama',
  num_hidden_layers: 3,
  layer_types: undefined,
  sliding_window: undefined,
};

/** Rows that are side by side, as documents of their own. */
function sideBySide(): LabelledInput {
  const input = smallInput('none', 2, 48);
  const segment_ids = Int32Array.from({ length: 96 }, (_, i) => (i % 48 < 20 ? 0 : 1));
  const position_ids = segment_ids.map((id, i) => (i % 48) - (id === 0 ? 0 : 20));
  return { ...input, segment_ids, position_ids };
}

const WIDE = {
  ...LLAMA,
  hidden_size: 256,
  intermediate_size: 1280,
  num_attention_heads: 8,
  num_key_value_heads: 2,
};

/** The base with its linear layers as they are quantized while they are loaded. */
const quantizedAs =
  (kind: Quantize) =>
  (base: BaseModel): BaseModel => {
    const { weights, spec } = base;
    const options = { kind, modules_to_save: null };
    const tensors = quantizedWhileLoading(weights, spec, options, base.path);
    return { ...base, weights: withQuantized(weights, tensors) };
  };

const TYPES: Readonly<Record<string, string>> = {
  q_proj: 'Q4_0',
  k_proj: 'Q5_1',
  v_proj: 'Q6_K',
  o_proj: 'Q8_0',
  gate_proj: 'Q4_1',
  up_proj: 'Q4_K',
  down_proj: 'Q2_K',
};

/** Blocks of other types in each kind of linear layer, except for those that `isDense` selects. */
const inManyTypes = (isDense: RegExp) => (base: BaseModel) =>
  inBlocks(base, (name) => (isDense.test(name) ? null : (TYPES[name.split('.').at(-2)!] ?? null)));

interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  /** Default: weights in bf16. */
  readonly quantized?: (base: BaseModel) => BaseModel;
  readonly adapted: RegExp;
  readonly input: LabelledInput;
  readonly recomputed?: number;
  /** Of the adapter; default: 0. */
  readonly dropout?: number;
  /** Modules of a frozen adapter below the trained one; default: none. */
  readonly frozen?: RegExp;
  /** Layers that the kernels compute: all but the last one, whose rows are selected. */
  readonly layers: { readonly forward: number; readonly backward: number };
}

const CASES: Readonly<Record<string, Case>> = {
  'the heads of a Llama': {
    config: LLAMA,
    adapted: /[qkvo]_proj/,
    input: smallInput('none'),
    layers: { forward: 2, backward: 2 },
  },
  'all linear layers of a model with biases and a window': {
    config: {
      ...SMALL_CONFIG,
      num_hidden_layers: 4,
      layer_types: ['full', 'sliding', 'sliding', 'full'].map((kind) => `${kind}_attention`),
    },
    adapted: /./,
    input: smallInput('left', 3, 60),
    layers: { forward: 3, backward: 3 },
  },
  'recomputed layers': {
    config: LLAMA,
    adapted: /./,
    input: smallInput('right', 2, 37),
    recomputed: 2,
    layers: { forward: 4, backward: 2 },
  },
  'rows side by side': {
    config: LLAMA,
    adapted: /(q|gate|down)_proj/,
    input: sideBySide(),
    layers: { forward: 2, backward: 2 },
  },
  'the MLP of the upper layers alone': {
    config: LLAMA,
    adapted: /layers\.[12]\..*(up|down)_proj/,
    input: smallInput('none', 4, 16),
    layers: { forward: 2, backward: 1 },
  },
  'the output of attention alone': {
    config: SMALL_CONFIG,
    adapted: /o_proj/,
    input: smallInput('none', 1, 150),
    layers: { forward: 1, backward: 1 },
  },
  'queries and values alone, of other ranks': {
    config: LLAMA,
    adapted: /[qv]_proj/,
    input: smallInput('left'),
    layers: { forward: 2, backward: 2 },
  },
  'the MLP alone': {
    config: LLAMA,
    adapted: /(gate|up|down)_proj/,
    input: smallInput('none', 2, 21),
    layers: { forward: 2, backward: 2 },
  },
  'an adapter on a frozen one': {
    config: LLAMA,
    adapted: /(q|o|gate)_proj/,
    frozen: /(q|k|up)_proj/,
    input: smallInput('none', 2, 21),
    layers: { forward: 2, backward: 2 },
  },
};

const DROPOUT_CASES: Readonly<Record<string, Case>> = {
  'dropout on all linear layers of a model with biases': {
    ...CASES['all linear layers of a model with biases and a window']!,
    dropout: 0.1,
  },
  'dropout in recomputed layers': { ...CASES['recomputed layers']!, dropout: 0.3 },
  'dropout before queries and values': {
    ...CASES['queries and values alone, of other ranks']!,
    dropout: 0.05,
  },
  'dropout before a part of the MLP': {
    ...CASES['the MLP of the upper layers alone']!,
    dropout: 0.5,
  },
  'dropout before gate and down': {
    ...CASES['rows side by side']!,
    dropout: 0.2,
  },
  'dropout that a frozen adapter does not have': {
    ...CASES['an adapter on a frozen one']!,
    dropout: 0.4,
  },
};

const QUANTIZED_CASES: Readonly<Record<string, Case>> = {
  'NF4, in rows that panels of columns do not divide': {
    config: { ...WIDE, hidden_size: 192, intermediate_size: 1024 },
    quantized: quantizedAs('nf4'),
    adapted: /./,
    input: smallInput('left', 2, 40),
    layers: { forward: 2, backward: 2 },
  },
  'int8, with layers that are recomputed': {
    config: { ...WIDE, intermediate_size: 320 },
    quantized: quantizedAs('int8'),
    adapted: /(v|up)_proj/,
    input: smallInput('none', 1, 64),
    recomputed: 2,
    layers: { forward: 4, backward: 2 },
  },
  'types of GGUF files, with queries, keys and values in several': {
    config: WIDE,
    quantized: inManyTypes(/^$/),
    adapted: /./,
    input: smallInput('right', 2, 70),
    layers: { forward: 2, backward: 2 },
  },
  'some matrices in blocks beside others in bf16': {
    config: WIDE,
    quantized: inManyTypes(/k_proj|gate_proj|layers\.1\..*down_proj/),
    adapted: /(q|o|down)_proj/,
    input: smallInput('none', 2, 30),
    layers: { forward: 2, backward: 2 },
  },
};

const QUANTIZED_DROPOUT = {
  'dropout on NF4': {
    ...QUANTIZED_CASES['NF4, in rows that panels of columns do not divide']!,
    dropout: 0.1,
  },
};

/** Checkpoints whose blocks have scales or roundings of other kinds. */
const CHECKPOINTS = ['bnb-nf4-bf16', 'bnb-fp4', 'torchao-int4', 'gptq'];

/** What is trained on a base. */
interface Training {
  readonly base: BaseModel;
  readonly adapter: Adapter;
  readonly input: LabelledInput;
  readonly recomputed?: number;
  readonly dropout?: number;
  readonly below?: readonly Adapter[];
}

/** The loss and gradients of two steps, and the numbers of the adapter after them. */
async function trained(
  ops: Ops,
  { base, adapter, input, recomputed = 0, dropout = 0, below = [] }: Training,
) {
  const model = await loadModel(base, adapter, {
    ...{ ops, base_dtype: 'bfloat16', quantized: true, below },
    ...{ recomputed_layers: recomputed, lora_dropout: dropout },
  });
  const loaded = ops.live();
  const steps = [];
  for (let i = 0; i < 2; i++) {
    const { loss_sum, labelled } = await model.accumulate(input, i);
    expect(ops.live()).toBe(loaded);
    expect(loss_sum).toBeGreaterThan(0);
    steps.push({ loss_sum, gradients: await model.gradients(labelled) });
    await model.step(labelled, { learning_rate: 1e-2, weight_decay: 0.01, max_grad_norm: 1 });
  }
  const after = await model.adapter();
  model.dispose();
  return { steps, adapter: after };
}

/** Trains with and without the kernels, which are to compute `count` layers in one accumulation. */
async function expectSameBytes(kernels: LayerKernels, training: Training, count: Case['layers']) {
  const { calls, counting } = counted(kernels);
  const before = ops.live();
  const separate = await trained(withLayers(null), training);
  expect(await trained(withLayers(counting), training)).toEqual(separate);
  expect(ops.live()).toBe(before);
  expect(sumOf(calls.forward)).toBe(2 * count.forward);
  expect(sumOf(calls.backward)).toBe(2 * count.backward);
}

describe('a layer in one operation', () => {
  it('is there where its products are preferred', () => {
    expect(ops.fused!.layers !== null).toBe(ops.fused!.prefersProduct);
  });

  const all: Readonly<Record<string, Case>> = {
    ...{ ...CASES, ...DROPOUT_CASES },
    ...{ ...QUANTIZED_CASES, ...QUANTIZED_DROPOUT },
  };
  it.each(Object.keys(all))('has the bytes of separate operations for %s', async (name) => {
    const { config, quantized, adapted, frozen, layers, ...rest } = all[name]!;
    const kernels = ops.fused!.layers;
    if (!kernels) return;
    const base = quantized?.(smallBase(config)) ?? smallBase(config);
    const adapter = smallAdapter((path) => adapted.test(path), config);
    const below = frozen ? [smallAdapter((path) => frozen.test(path), config)] : [];
    await expectSameBytes(kernels, { base, adapter, below, ...rest }, layers);
  });

  it.each(CHECKPOINTS)('has the bytes of separate operations for a base in %s', async (name) => {
    const layers = ops.fused!.layers;
    if (!layers) return;
    await withBase(path.join(fixtures, 'quantized', name), async (base) => {
      const adapter = smallAdapter(() => true, base.config);
      const training = { base, adapter, input: smallInput('left', 2, 30) };
      await expectSameBytes(layers, training, { forward: 1, backward: 1 });
    });
  });

  it.each([
    ['few rows are computed together', 2, 20, [3]],
    ['many rows are computed alone', 40, 96, [1, 1, 1]],
  ])('layers of %s', async (_, batch, length, expected) => {
    const kernels = ops.fused!.layers;
    if (!kernels) return;
    const { calls, counting } = counted(kernels);
    const base = smallBase({ ...WIDE, num_hidden_layers: 4 });
    const adapter = smallAdapter((path) => path.endsWith('q_proj'), base.config);
    const input = smallInput('none', batch, length);
    await trained(withLayers(counting), { base, adapter, input });
    expect(calls.forward).toEqual([...expected, ...expected]);
    expect(calls.backward).toEqual([...expected, ...expected]);
  });
});
