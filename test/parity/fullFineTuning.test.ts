import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ReadSpecOptions } from '../../src/formats/architecture/readSpec';
import { type ReplacedTensor, withReplaced } from '../../src/formats/weightSource';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { BaseModel } from '../../src/formats/baseModel';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Ops, Tensor } from '../../src/models/ops/ops';
import type { LabelledInput, Model } from '../../src/models/model';
import {
  cpuOps,
  fixtures,
  gap,
  inputOf,
  largest,
  tensorFlowOps,
  readJson,
  restoreState,
  stateOf,
  tfBinding,
  withBase,
} from '../support/models';
import { smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';
import { WITHOUT_KERNELS } from '../support/withoutKernels';

interface Trajectory {
  readonly task: 'causal_lm' | 'seq2seq_lm' | 'seq_cls' | 'token_cls' | 'image_cls';
  readonly learning_rate: number;
  readonly weight_decay: number;
  readonly max_grad_norm: number;
  readonly records: readonly { readonly loss: number; readonly grad_norm: number }[];
}

const FAMILIES = [
  'llama',
  'gpt2',
  'olmo2',
  'gemma2',
  'gemma3_text',
  'phi3',
  'gpt_neox',
  'distilbert',
  'roberta',
  'vit',
  't5-tied',
  'mt5',
  'mpnet',
];
const at = (family: string, file: string) => path.join(fixtures, 'full', family, file);

const tensorsIn = (file: string) =>
  withSafetensors(file, async (source) => {
    const read = await Promise.all(
      [...source.tensors.keys()].map(
        async (name) =>
          [
            name,
            { shape: source.tensors.get(name)!.shape, data: await source.readF32(name) },
          ] as const,
      ),
    );
    return new Map(read);
  });

const batchOf = (family: string): Promise<LabelledInput> =>
  withSafetensors(at(family, 'batch.safetensors'), async (source) => {
    const labels = await source.readInts('labels');
    if (source.tensors.has('pixel_values'))
      return {
        ...inputOf({ labels: [...labels] }),
        pixel_values: await source.readF32('pixel_values'),
      };
    const rowsOf = async (ids: string, mask: string) => {
      const [batch, length] = source.tensors.get(ids)!.shape as [number, number];
      const [input_ids, attention_mask] = [await source.readInts(ids), await source.readInts(mask)];
      return { batch, length, input_ids, attention_mask };
    };
    const own = { ...(await rowsOf('input_ids', 'attention_mask')), labels };
    if (!source.tensors.has('source_ids')) return own;
    return { ...own, source: await rowsOf('source_ids', 'source_mask') };
  });

/** The base with the random head that torch initialized. */
async function withHead(base: BaseModel, family: string): Promise<BaseModel> {
  const head = await tensorsIn(at(family, 'head.safetensors'));
  head.delete('none');
  const replaced = new Map(
    [...head].map(([name, { shape, data }]): [string, ReplacedTensor] => [
      name,
      { shape, read: () => Promise.resolve(data) },
    ]),
  );
  return { ...base, missing: [], weights: withReplaced(base.weights, replaced) };
}

const openFamily = <T>(
  family: string,
  use: (base: BaseModel, trajectory: Trajectory) => Promise<T>,
): Promise<T> => {
  const trajectory = readJson(`full/${family}`, 'trajectory.json') as Trajectory;
  const options: ReadSpecOptions =
    trajectory.task === 'causal_lm' || trajectory.task === 'seq2seq_lm'
      ? {}
      : { task: trajectory.task, num_labels: 3 };
  return withBase(
    path.join(fixtures, family, 'base'),
    async (base) => use(await withHead(base, family), trajectory),
    options,
  );
};

const loadFull = (ops: Ops, base: BaseModel, options: Partial<LoadOptions> = {}): Promise<Model> =>
  loadModel(base, EMPTY_ADAPTER, { ops, method: 'full', ...options });

/** The gradients that are accumulated are those of torch. */
async function expectGradients(model: Model, labelled: number, family: string): Promise<void> {
  const wanted = await tensorsIn(at(family, 'gradients.safetensors'));
  const gradients = await model.gradients(labelled);
  const others = [...gradients].filter(([name]) => !wanted.has(name));
  expect(others.filter(([, { data }]) => largest(data) > 0).map(([name]) => name)).toEqual([]);
  for (const [name, { shape, data }] of wanted) {
    const own = gradients.get(name);
    // The bias of the keys does not change a softmax.
    if (!own && largest(data) < 1e-6) continue;
    expect(own?.shape, name).toEqual(shape);
    expect(gap(own!.data, data), name).toBeLessThanOrEqual(2e-5 * Math.max(0.1, largest(data)));
  }
}

async function expectTrajectory(
  model: Model,
  batch: LabelledInput,
  { records, ...settings }: Trajectory,
  onFirst: (labelled: number) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const [i, { loss, grad_norm }] of records.entries()) {
    const { loss_sum, labelled } = await model.accumulate(batch, i);
    if (i === 0) await onFirst(labelled);
    const step = await model.step(labelled, settings);
    const place = `of step ${i + 1}`;
    expect(Math.abs(loss_sum / labelled - loss), `loss ${place}`).toBeLessThanOrEqual(1e-4);
    expect(Math.abs(step.grad_norm - grad_norm), `grad_norm ${place}`).toBeLessThanOrEqual(
      1e-3 * grad_norm,
    );
  }
}

/**
 * The same operations, but products with weights are summed in f64. libtensorflow adds the terms of
 * a sum one after another in f32; where a norm follows, that shows in the last digits.
 */
async function withExactSums(): Promise<Ops> {
  const [ops, binding] = [await tensorFlowOps(), await tfBinding()];
  const numbersOf = (x: Tensor) => binding.tensorDataSync(x.handle as number);
  const exact = Object.create(ops) as TensorFlowOps;
  exact.matMul = (a, b, transposeA, transposeB) => {
    const [x, y] = [numbersOf(a), numbersOf(b)];
    const [rows, terms] = (transposeA ? [...a.shape].reverse() : a.shape) as [number, number];
    const columns = b.shape[transposeB ? 0 : 1]!;
    const sumAt = (row: number, column: number): number => {
      let sum = 0;
      for (let i = 0; i < terms; i++) {
        const left = x[transposeA ? i * rows + row : row * terms + i]!;
        sum += left * y[transposeB ? column * terms + i : i * columns + column]!;
      }
      return sum;
    };
    const sums = Float32Array.from({ length: rows * columns }, (_, at) =>
      sumAt(Math.floor(at / columns), at % columns),
    );
    return ops.upload(sums, [rows, columns]);
  };
  return exact;
}

describe('full fine-tuning', () => {
  it.each(FAMILIES)("%s matches torch's gradients and torch.optim.AdamW", (family) =>
    openFamily(family, async (base, trajectory) => {
      const model = await loadFull(await tensorFlowOps(), base);
      const batch = await batchOf(family);
      await expectTrajectory(model, batch, trajectory, (labelled) =>
        expectGradients(model, labelled, family),
      );
      model.dispose();
    }),
  );

  // the tolerance allows for nothing but the processor's sums, see the decisions
  it.skipIf(WITHOUT_KERNELS)(
    "qwen3_5 matches torch's gradients in f64, apart from the sums of products",
    () =>
      openFamily('qwen3_5', async (base, trajectory) => {
        const batch = await batchOf('qwen3_5');
        const exact = await loadFull(await withExactSums(), base);
        const { labelled } = await exact.accumulate(batch, 0);
        await expectGradients(exact, labelled, 'qwen3_5');
        exact.dispose();
        const model = await loadFull(await tensorFlowOps(), base);
        await expectTrajectory(model, batch, trajectory);
        model.dispose();
      }),
  );

  it('trains all weights of the model and reads each back unchanged', () =>
    openFamily('gpt2', async (base) => {
      const model = await loadFull(await tensorFlowOps(), base);
      for (const name of base.weights.tensors.keys())
        expect(await model.baseTensor(name), name).toEqual(await base.weights.readF32(name));
      expect(model.trainable_parameters).toBe(base.parameters);
      model.dispose();
    }));
});

const TIED = { ...SMALL_CONFIG, tie_word_embeddings: true };
const SETTINGS = { learning_rate: 0.02, weight_decay: 0.1, max_grad_norm: 0.5 };
const BACKENDS: readonly (readonly [string, () => Promise<Ops>])[] = [
  ['libtensorflow', tensorFlowOps],
  [
    'libtensorflow without the fused kernels',
    async () => new TensorFlowOps(await tfBinding(), { fuse: false }),
  ],
  ['tfjs on the cpu', async () => (await cpuOps()).ops],
];

async function trained(
  ops: Ops,
  steps: number,
  options: Partial<LoadOptions> = {},
): Promise<{ readonly model: Model; readonly names: readonly string[] }> {
  const base = smallBase(TIED);
  const model = await loadFull(ops, base, options);
  for (let i = 0; i < steps; i++) await oneStep(model);
  return { model, names: [...base.weights.tensors.keys()] };
}

async function oneStep(model: Model): Promise<void> {
  const counts = [
    await model.accumulate(smallInput('left'), 0),
    await model.accumulate(smallInput('right'), 1),
  ];
  await model.step(
    counts.reduce((sum, { labelled }) => sum + labelled, 0),
    SETTINGS,
  );
}

const weightsOf = async (model: Model, names: readonly string[]) =>
  Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await model.baseTensor(name)] as const)),
  );

describe('a small tied model', () => {
  let reference: Record<string, Float32Array>;
  beforeAll(async () => {
    const { model, names } = await trained(await tensorFlowOps(), 3);
    reference = await weightsOf(model, names);
    model.dispose();
  });

  it.each(BACKENDS)('gives the same results on %s and frees all tensors', async (_, make) => {
    const ops = await make();
    const before = ops.live();
    const { model, names } = await trained(ops, 3);
    const weights = await weightsOf(model, names);
    for (const name of names)
      expect(gap(weights[name]!, reference[name]!), name).toBeLessThanOrEqual(2e-5);
    const betweenSteps = model.liveTensors();
    await oneStep(model);
    expect(model.liveTensors()).toBe(betweenSteps);
    await model.accumulate(smallInput('left'), 0);
    model.dispose();
    expect(ops.live()).toBe(before);
  });

  it('gives the same results with recomputed layers', async () => {
    const { model, names } = await trained(await tensorFlowOps(), 3, { recomputed_layers: 1 });
    expect(await weightsOf(model, names)).toEqual(reference);
    model.dispose();
  });

  it('resumes from weights and AdamW state with the same results', async () => {
    const ops = await tensorFlowOps();
    const { model, names } = await trained(ops, 2);
    const state = await stateOf(model);
    const weights = await weightsOf(model, names);
    model.dispose();
    const base = smallBase(TIED);
    const replaced = new Map(
      names.map((name): [string, ReplacedTensor] => [
        name,
        {
          shape: base.weights.tensors.get(name)!.shape,
          read: () => Promise.resolve(weights[name]!),
        },
      ]),
    );
    const resumed = await loadFull(ops, { ...base, weights: withReplaced(base.weights, replaced) });
    await restoreState(resumed, state);
    await oneStep(resumed);
    expect(await weightsOf(resumed, names)).toEqual(reference);
    resumed.dispose();
  });

  it('frees tensors and gradients of an interrupted step', async () => {
    const ops = await tensorFlowOps();
    const { model, names } = await trained(ops, 2);
    const live = ops.live();
    const { yieldPoint } = ops;
    await model.accumulate(smallInput('left'), 0);
    let calls = 0;
    ops.yieldPoint = () =>
      ++calls === 3 ? Promise.reject(new Error('interrupted')) : Promise.resolve();
    await expect(model.accumulate(smallInput('right'), 1)).rejects.toThrow('interrupted');
    ops.yieldPoint = yieldPoint;
    expect(ops.live()).toBe(live);
    await oneStep(model);
    expect(await weightsOf(model, names)).toEqual(reference);
    model.dispose();
  });
});
