import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openLayersModel } from '../../src/formats/layersModel/file';
import { readLayersWeights } from '../../src/formats/layersModel/weights';
import { writePeftAdapter } from '../../src/formats/peft/write';
import type { Adapter } from '../../src/lora/adapter';
import { newAdapter, PLAIN_LORA } from '../../src/lora/newAdapter';
import { adaptLayers, openLayers } from '../../src/engine/layersModel/adapted';
import { layersConfig } from '../../src/engine/layersModel/adapterConfig';
import { manifestKernels } from '../../src/formats/layersModel/kernels';
import { layerCalls } from '../../src/formats/layersModel/shapes';
import type { LayersTraining } from '../../src/engine/layersModel/layersTraining';
import { mergeLayers } from '../../src/engine/layersModel/merge';
import type { LabelSet } from '../../src/data/tasks/labelSet';
import type { LabelledInput } from '../../src/models/model';
import { LoraError } from '../../src/shared/errors';
import { createRandom } from '../../src/shared/random';
import { kernelsOf, layersIn } from '../../src/tfjs/kernels';
import type { LayersModel, LayerVariable, SymbolicTensor, Tf } from '../../src/tfjs/tf';
import {
  fillWeights,
  saveModel,
  TEST_MODELS,
  testInput,
  testLayers,
} from '../support/layersModels';
import { tempFolder } from '../support/commandLine';
import { gap } from '../support/models';

const KINDS: Readonly<Record<string, LabelSet['problem_type']>> = {
  dense: 'single_label_classification',
  images: 'single_label_classification',
  sequences: 'multi_label_classification',
  tokens: 'regression',
  nested: 'single_label_classification',
  twice: 'single_label_classification',
};
const ROWS = 4;
/** A layer of tfjs that was called. */
type Layer = ReturnType<Tf['layers']['dense']>;

let tf: Tf;
beforeAll(async () => {
  tf = await testLayers();
});

let opened: LayersTraining[] = [];
afterEach(() => {
  opened.forEach((own) => own.dispose());
  opened = [];
});

/** A saved model with an adapter whose factors are all random, in memory and on disk. */
async function adapted(name: string) {
  const made = TEST_MODELS[name]!(tf);
  fillWeights(tf, made.model, 3);
  const base = await saveModel(made.model, path.join(tempFolder(), 'base'));
  made.model.dispose();
  const file = await openLayersModel(base);
  const loaded = await openLayers(tf, { file, weights: await readLayersWeights(file) });
  const kernels = kernelsOf(loaded.model);
  const modules = kernels.map((kernel) => ({ ...kernel, is_output: false }));
  const random = createRandom(5, name);
  const choices = { ...PLAIN_LORA, r: 2, target_modules: modules.map((own) => own.path) };
  const zero = newAdapter(modules, choices, base, { seed: 1 });
  const adapter: Adapter = {
    ...zero,
    config: { ...zero.config, raw: layersConfig('features', null) },
    modules: zero.modules.map((own) => ({
      ...own,
      A: own.A.map(() => random() - 0.5),
      B: own.B.map(() => random() - 0.5),
    })),
  };
  const folder = path.join(tempFolder(), 'adapter');
  await writePeftAdapter(folder, adapter, { task: 'image_cls', labels: null, card: '' });
  const names = Array.from({ length: loaded.outputs }, (_, i) => String(i));
  const training = adaptLayers(tf, loaded, {
    adapter,
    hasHead: false,
    labels: { problem_type: KINDS[name]!, names },
    input_shape: made.input,
    label_smoothing: 0,
    adapter_file: folder,
  });
  opened.push(training);
  return { ...made, base, file, folder, training, loaded, kernels };
}

const inputFor = (name: string, shape: readonly number[]): Float32Array => {
  const x = testInput(tf, [ROWS, ...shape], 7);
  const values = x.dataSync() as Float32Array;
  x.dispose();
  return name === 'tokens' ? values.map((value) => Math.floor(3.5 * (value + 1))) : values;
};

function labelled(name: string, shape: readonly number[], outputs: number): LabelledInput {
  const labels =
    KINDS[name] === 'single_label_classification'
      ? Int32Array.from({ length: ROWS }, (_, i) => i % outputs)
      : Float32Array.from({ length: ROWS * outputs }, (_, i) => i % 2);
  return {
    batch: ROWS,
    length: 1,
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(ROWS),
    inputs: inputFor(name, shape),
    labels,
  };
}

const NO_ADAPTER: Adapter = {
  config: { ...PLAIN_LORA, target_modules: [], base_model_name_or_path: null, raw: {} },
  modules: [],
  trained: [],
};

const SETTINGS = { learning_rate: 0.01, weight_decay: 0.01, max_grad_norm: 1 };

describe.each(Object.keys(TEST_MODELS))('a layers model: %s', (name) => {
  it('names the same kernels in the file as in memory', async () => {
    const { kernels, file } = await adapted(name);
    const shown = (own: readonly { path: string; in_features: number; className: string }[]) =>
      own.map(({ path: at, in_features, className }) => `${at} ${in_features} ${className}`).sort();
    expect(shown(manifestKernels(file))).toEqual(shown(kernels));
  });

  it('has the shapes of TensorFlow.js in the file', async () => {
    const { file, input, loaded } = await adapted(name);
    const found = layerCalls(file, input);
    const calls = 'calls' in found ? found.calls : [];
    // cells have the names of their layers
    const keyOf = (own: { readonly name: string; readonly class_name: string }) =>
      `${own.class_name} ${own.name}`;
    const layers = new Map(
      layersIn(loaded.model).map((own) => [
        keyOf({ name: own.name, class_name: own.getClassName() }),
        own as unknown as Layer,
      ]),
    );
    expect(calls.length).toBeGreaterThan(2);
    for (const { layer, input: read, output } of calls) {
      // the backward layer of Bidirectional has another name in memory; Add reads several inputs
      const own = layer.class_name === 'Add' ? undefined : layers.get(keyOf(layer));
      if (own) expect(own.computeOutputShape([null, ...read])).toEqual([null, ...output]);
    }
    expect(calls.at(-1)?.output).toEqual(loaded.model.outputs[0]!.shape.slice(1));
  });

  it('predicts as the merged model.json does, and leaves the base as it was', async () => {
    const { base, folder, training, input, loaded } = await adapted(name);
    const row = labelled(name, input, loaded.outputs);
    const { outputs } = await training.evaluate(row);
    training.dispose();
    opened = [];
    const output = path.join(tempFolder(), 'merged');
    const before = await readLayersWeights(await openLayersModel(base));
    await mergeLayers(
      { base, adapters: [folder], output, scale: 1, max_shard_size: 64 },
      { runtime: null, signal: new AbortController().signal },
    );
    const file = await openLayersModel(path.join(output, 'model.json'));
    const merged = await openLayers(tf, { file, weights: await readLayersWeights(file) });
    const restore =
      KINDS[name] === 'regression' ? () => undefined : merged.output.withoutActivation();
    const predicted = tf.tidy(
      () =>
        (
          merged.model.predict(tf.tensor(row.inputs!, [ROWS, ...input])) as ReturnType<
            typeof tf.tensor
          >
        ).dataSync() as Float32Array,
    );
    restore();
    merged.model.dispose();
    expect(gap(outputs!, predicted)).toBeLessThan(2e-5);
    const after = await readLayersWeights(await openLayersModel(base));
    for (const [weight, { bytes }] of before) expect(after.get(weight)!.bytes).toEqual(bytes);
  });

  it('changes only the factors in a step, and frees every tensor', async () => {
    const { training, input, loaded } = await adapted(name);
    const row = labelled(name, input, loaded.outputs);
    const frozen = () =>
      loaded.model.weights
        .filter(({ originalName }) => !originalName.includes('lora_'))
        .map((own) => [own.originalName, [...(own.read().dataSync() as Float32Array)]]);
    const before = frozen();
    const factors = await training.adapter();
    const { loss_sum } = await training.accumulate(row);
    await training.step(ROWS, SETTINGS);
    const live = training.liveTensors();
    for (let i = 0; i < 8; i++) {
      const { weight } = await training.accumulate(row);
      await training.step(weight, SETTINGS);
      await training.evaluate(row);
    }
    expect(training.liveTensors()).toBe(live);
    expect(frozen()).toEqual(before);
    const { loss_sum: after } = await training.evaluate(row);
    expect(after).toBeLessThan(loss_sum);
    const changed = await training.adapter();
    changed.modules.forEach(({ A }, i) => expect(A).not.toEqual(factors.modules[i]!.A));
  });

  it('has the gradients of central differences', async () => {
    const { training, input, loaded } = await adapted(name);
    const row = labelled(name, input, loaded.outputs);
    await training.accumulate(row);
    for (const [key, { data }] of await training.gradients(1)) {
      const variable = training.variable(key);
      const at = data.length >> 1;
      const difference = await slope(training, row, variable, at);
      const allowed = 2e-2 * Math.max(1, Math.abs(difference));
      expect(Math.abs(data[at]! - difference), key).toBeLessThan(allowed);
    }
  });
});

/** The slope of the loss in one number, by central differences. */
async function slope(
  training: LayersTraining,
  row: LabelledInput,
  variable: LayerVariable,
  at: number,
) {
  const start = (variable.read().dataSync() as Float32Array).slice();
  const lossAt = async (change: number) => {
    const values = start.slice();
    values[at]! += change;
    tf.tidy(() => void variable.write(tf.tensor(values, variable.shape as number[])));
    return (await training.evaluate(row)).loss_sum;
  };
  const step = 2 ** -7;
  const difference = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
  await lossAt(0);
  return difference;
}

describe('layers models of other shapes', () => {
  it('have kernels of layers with a slash in their names', async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.conv1d({ name: 'conv1/conv', filters: 2, kernelSize: 1, inputShape: [3, 2] }),
        tf.layers.dense({ name: 'top/head', units: 2 }),
      ],
    });
    const file = await openLayersModel(await saveModel(model, tempFolder()));
    const found = manifestKernels(file).map(({ path: at, layer, className }) => [
      at,
      layer,
      className,
    ]);
    expect(found).toEqual([
      ['conv1.conv', 'conv1/conv', 'Conv1D'],
      ['top.head', 'top/head', 'Dense'],
    ]);
    expect(kernelsOf(model).map((own) => own.path)).toEqual(['conv1.conv', 'top.head']);
    model.dispose();
  });

  it('are refused where taking the activation off would change other layers', async () => {
    const input = tf.input({ shape: [3] });
    const layer = tf.layers.dense({ name: 'twice', units: 3, activation: 'sigmoid' });
    const once = layer.apply(input) as SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: layer.apply(once) as SymbolicTensor });
    const base = await saveModel(model, tempFolder());
    model.dispose();
    const file = await openLayersModel(base);
    const loaded = await openLayers(tf, { file, weights: await readLayersWeights(file) });
    const start = (problem_type: LabelSet['problem_type']) =>
      adaptLayers(tf, loaded, {
        adapter: NO_ADAPTER,
        hasHead: false,
        labels: { problem_type, names: ['a', 'b', 'c'] },
        input_shape: [3],
        label_smoothing: 0,
        adapter_file: base,
      });
    expect(() => start('multi_label_classification')).toThrow(/"twice" more than once/);
    opened.push(start('regression'));
  });
});

describe('the shapes of layers', () => {
  const image = [8, 7, 3];
  const same = 'same' as const;
  it.each<[string, readonly number[], (layers: Tf['layers']) => unknown]>([
    ['a strided convolution', image, (l) => l.conv2d({ filters: 4, kernelSize: 3, strides: 2 })],
    [
      'a padded convolution',
      image,
      (l) => l.conv2d({ filters: 4, kernelSize: [3, 2], strides: [2, 1], padding: same }),
    ],
    [
      'a dilated convolution',
      image,
      (l) => l.conv2d({ filters: 2, kernelSize: 2, dilationRate: 3 }),
    ],
    [
      'a depthwise one',
      image,
      (l) => l.depthwiseConv2d({ kernelSize: 3, strides: 2, padding: same }),
    ],
    ['windows that touch', image, (l) => l.maxPooling2d({ poolSize: [2, 3] } as never)],
    [
      'windows that overlap',
      image,
      (l) => l.averagePooling2d({ poolSize: [3, 3], strides: [2, 2], padding: same } as never),
    ],
    ['windows of steps', [9, 2], (l) => l.maxPooling1d({ poolSize: 2, padding: same })],
    ['a mean of steps', [9, 2], (l) => l.globalAveragePooling1d({})],
    ['a row of numbers', image, (l) => l.flatten()],
    ['another form', image, (l) => l.reshape({ targetShape: [28, 6] })],
    ['steps of one row', [3], (l) => l.repeatVector({ n: 4 })],
    [
      'padding of sides',
      image,
      (l) =>
        l.zeroPadding2d({
          padding: [
            [0, 1],
            [2, 3],
          ],
        }),
    ],
    ['padding', image, (l) => l.zeroPadding2d({ padding: 2 })],
    ['larger images', image, (l) => l.upSampling2d({ size: [2, 3] })],
  ])('are those of TensorFlow.js: %s', async (_, shape, make) => {
    const x = tf.input({ shape: [...shape] });
    const made = (make(tf.layers) as Layer).apply(x) as SymbolicTensor;
    const output = tf.layers.dense({ units: 1 }).apply(made) as SymbolicTensor;
    const model = tf.model({ inputs: x, outputs: output });
    const file = await openLayersModel(await saveModel(model, tempFolder()));
    model.dispose();
    const found = layerCalls(file, shape);
    expect('calls' in found && [null, ...found.calls.at(-2)!.output]).toEqual(made.shape);
  });

  it('are added up where layers are joined', async () => {
    const x = tf.input({ shape: [4, 3] });
    const [a, b] = [2, 5].map((units) => tf.layers.dense({ units }).apply(x) as SymbolicTensor);
    const joined = tf.layers.concatenate().apply([a!, b!]) as SymbolicTensor;
    const model = tf.model({ inputs: x, outputs: joined });
    const file = await openLayersModel(await saveModel(model, tempFolder()));
    model.dispose();
    const found = layerCalls(file, [4, 3]);
    expect('calls' in found && [null, ...found.calls.at(-1)!.output]).toEqual(joined.shape);
  });
});

describe('layers models that are refused', () => {
  const dense = (name: string, units = 2) => tf.layers.dense({ name, units });

  /** Opens a saved model whose text is changed first. */
  async function open(model: LayersModel, change = (text: string) => text) {
    const base = await saveModel(model, tempFolder());
    model.dispose();
    writeFileSync(base, change(readFileSync(base, 'utf8')));
    const file = await openLayersModel(base);
    return openLayers(tf, { file, weights: await readLayersWeights(file) });
  }

  it('have a layer of a class that TensorFlow.js does not have', async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ name: 'first', units: 2, inputShape: [3] }),
        tf.layers.activation({ name: 'own', activation: 'relu' }),
      ],
    });
    const custom = (text: string) =>
      text.replace('"class_name":"Activation"', '"class_name":"Swirl"');
    const error = await open(model, custom).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(LoraError);
    expect(error).toMatchObject({
      area: 'base',
      message: 'The layer "own" is of the class "Swirl", which TensorFlow.js does not have.',
      fix: expect.stringMatching(/replace the layer/) as string,
    });
  });

  it('have several inputs', async () => {
    const [a, b] = ['left', 'right'].map((name) => tf.input({ shape: [3], name }));
    const sum = tf.layers.add().apply([a!, b!]) as SymbolicTensor;
    const output = dense('top').apply(sum) as SymbolicTensor;
    const model = tf.model({ inputs: [a!, b!], outputs: output });
    await expect(open(model)).rejects.toMatchObject({
      message: 'The model has 2 inputs (left, right); only models with one are trained.',
      fix: expect.stringMatching(/one input and one output/) as string,
    });
  });

  it('have several outputs', async () => {
    const x = tf.input({ shape: [3] });
    const outputs = ['colour', 'size'].map((name) => dense(name).apply(x) as SymbolicTensor);
    await expect(open(tf.model({ inputs: x, outputs }))).rejects.toMatchObject({
      message: 'The model has 2 outputs (colour, size); only models with one are trained.',
    });
  });
});
