import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadLayers } from '../../src/runtime/loadTfjs';
import { defaultRuntimeHome, findRuntime } from '../../src/runtime/findRuntime';
import { createRandom } from '../../src/shared/random';
import type { LayersModel, Tensor, Tf } from '../../src/tfjs/tf';
import { dist } from './tfjs';

/** tfjs with its layers on the installed libtensorflow, as the engine's worker loads it. */
export async function testLayers(): Promise<Tf> {
  const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
  if (runtime?.kind !== 'tensorflow')
    throw new Error('No runtime is installed: run npm run build.');
  return loadLayers(runtime, dist);
}

/** Writes a model as model.save() does; returns the path of its model.json. */
export async function saveModel(model: LayersModel, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'model.json');
  await model.save({
    save: ({ modelTopology, weightSpecs, weightData }) => {
      const bytes = Buffer.from(weightData as ArrayBuffer);
      const half = bytes.length >> 1;
      writeFileSync(path.join(folder, 'a.bin'), bytes.subarray(0, half));
      writeFileSync(path.join(folder, 'b.bin'), bytes.subarray(half));
      const weightsManifest = [{ paths: ['a.bin', 'b.bin'], weights: weightSpecs }];
      writeFileSync(
        file,
        JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest }),
      );
      return Promise.resolve({
        modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' },
      });
    },
  });
  return file;
}

/** Gives all weights numbers of a generator of its own, those of variances above 0. */
export function fillWeights(tf: Tf, model: LayersModel, seed: number): void {
  const random = createRandom(seed, 'weights');
  for (const weight of model.weights) {
    const isVariance = weight.originalName.endsWith('moving_variance');
    const values = Float32Array.from(
      { length: weight.shape.reduce<number>((a, b) => a * b!, 1) },
      () => (isVariance ? 0.5 + random() : random() - 0.5),
    );
    tf.tidy(() => void weight.write(tf.tensor(values, weight.shape as number[])));
  }
}

/** Numbers in ±1. */
export function testInput(tf: Tf, shape: readonly number[], seed: number): Tensor {
  const random = createRandom(seed, 'input');
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => 2 * random() - 1),
    [...shape],
  );
}

/** A model, and the shape of a row that it reads. */
export interface TestModel {
  readonly model: LayersModel;
  readonly input: readonly number[];
}

/** The bundle of tfjs lacks what orthogonal kernels are made with; loaded models need none. */
const GLOROT = { recurrentInitializer: 'glorotNormal' } as const;

/** Models that have each kind of layer that LoRA adapts, by their names. */
export const TEST_MODELS: Readonly<Record<string, (tf: Tf) => TestModel>> = {
  dense: ({ sequential, layers }) => ({
    input: [4],
    model: sequential({
      layers: [
        layers.dense({ units: 5, activation: 'relu', inputShape: [4] }),
        layers.batchNormalization(),
        layers.dropout({ rate: 0.5 }),
        layers.dense({ units: 3, activation: 'softmax' }),
      ],
    }),
  }),
  images: ({ sequential, layers }) => ({
    input: [8, 8, 3],
    model: sequential({
      layers: [
        layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [8, 8, 3], activation: 'relu' }),
        layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2 }),
        layers.batchNormalization(),
        layers.separableConv2d({ filters: 3, kernelSize: 2 }),
        layers.globalAveragePooling2d({ dataFormat: 'channelsLast' }),
        layers.dense({ units: 3 }),
        layers.softmax(),
      ],
    }),
  }),
  sequences: ({ sequential, layers }) => ({
    input: [6, 2],
    model: sequential({
      layers: [
        layers.conv1d({ filters: 3, kernelSize: 2, inputShape: [6, 2] }),
        layers.bidirectional({
          layer: layers.lstm({ units: 2, returnSequences: true, ...GLOROT }),
        }),
        layers.timeDistributed({ layer: layers.dense({ units: 3 }) }),
        layers.gru({ units: 3, returnSequences: true, ...GLOROT }),
        layers.simpleRNN({ units: 2, ...GLOROT }),
        layers.dense({ units: 2, activation: 'sigmoid' }),
      ],
    }),
  }),
  tokens: ({ sequential, layers }) => ({
    input: [5],
    model: sequential({
      layers: [
        layers.embedding({ inputDim: 7, outputDim: 3, inputLength: 5 }),
        layers.lstm({ units: 3, ...GLOROT }),
        layers.dense({ units: 1 }),
      ],
    }),
  }),
  nested: ({ sequential, model, input, layers }) => {
    const inner = sequential({ layers: [layers.dense({ units: 4, inputShape: [3] })] });
    const x = input({ shape: [3] });
    const y = layers.add().apply([inner.apply(x), layers.dense({ units: 4 }).apply(x)] as never);
    const out = layers.dense({ units: 2, activation: 'softmax' }).apply(y);
    return { input: [3], model: model({ inputs: x, outputs: out as never }) };
  },
  // the weights of the inner model get the gradients of both calls
  twice: ({ sequential, model, input, layers }) => {
    const inner = sequential({
      layers: [layers.dense({ units: 3, activation: 'tanh', inputShape: [3] })],
    });
    const x = input({ shape: [3] });
    const y = inner.apply(inner.apply(x));
    const out = layers.dense({ units: 2, activation: 'softmax' }).apply(y);
    return { input: [3], model: model({ inputs: x, outputs: out as never }) };
  },
};
