import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serialization } from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { checkTopology, TFJS_CLASSES } from '../../../../src/formats/layersModel/classes';
import { openLayersModel } from '../../../../src/formats/layersModel/file';
import { refuseWithoutGradient } from '../../../../src/formats/layersModel/gradients';
import { checkLayersShards } from '../../../../src/formats/layersModel/weights';
import { LoraError } from '../../../../src/shared/errors';
import { temp } from '../../../support/temp';

type Json = Readonly<Record<string, unknown>>;

const layer = (class_name: string, name: string, config: Json = {}, from?: readonly string[]) => ({
  ...{ class_name, name, config: { name, ...config } },
  inbound_nodes: from?.length ? [from.map((own) => [own, 0, 0, {}])] : [],
});
const sequential = (...own: readonly object[]): Json => ({
  class_name: 'Sequential',
  config: { name: 'net', layers: own },
});
const graph = (
  inputs: readonly string[],
  outputs: readonly string[],
  ...own: readonly object[]
): Json => ({
  class_name: 'Model',
  config: {
    ...{ name: 'net', layers: own },
    input_layers: inputs.map((name) => [name, 0, 0]),
    output_layers: outputs.map((name) => [name, 0, 0]),
  },
});

const KERNEL = { name: 'd/kernel', shape: [3, 4], dtype: 'float32' };

/** A model with this topology and one weight in shards of these sizes. */
async function modelOf(
  modelTopology: Json,
  { weight = KERNEL, sizes = [48] }: { weight?: Json; sizes?: readonly number[] } = {},
) {
  const folder = temp();
  const paths = sizes.map((_, i) => `group1-shard${i + 1}of${sizes.length}.bin`);
  for (const [i, size] of sizes.entries())
    writeFileSync(path.join(folder, paths[i]!), Buffer.alloc(size));
  const file = path.join(folder, 'model.json');
  const weightsManifest = [{ paths, weights: [weight] }];
  writeFileSync(file, JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest }));
  return openLayersModel(file);
}

const dense = layer('Dense', 'd', { units: 4, activation: 'relu' });

it('the classes and activations are those of TensorFlow.js', () => {
  const { classNameMap } = serialization.SerializationMap.getMap();
  const isLayer = (name: string) => classNameMap[name]![0].prototype instanceof layers.layers.Layer;
  const others = ['Functional', 'Model', 'Sequential'];
  const known = Object.keys(classNameMap).filter((name) => isLayer(name) || /^[a-z]/.test(name));
  expect([...TFJS_CLASSES].sort()).toEqual([...new Set([...known, ...others])].sort());
});

describe('a topology', () => {
  it.each<[string, Json, RegExp]>([
    [
      'a custom layer',
      sequential(dense, layer('Swirl', 'mine')),
      /layer "mine" is of the class "Swirl", which TensorFlow\.js does not have/,
    ],
    [
      'a layer of Keras alone',
      sequential(dense, layer('MultiHeadAttention', 'att')),
      /layer "att" is of the class "MultiHeadAttention"/,
    ],
    [
      'a custom layer in a wrapper',
      sequential(layer('TimeDistributed', 'each', { layer: layer('Swirl', 'mine') })),
      /layer "mine" is of the class "Swirl"/,
    ],
    [
      'a custom activation',
      sequential(layer('LSTM', 'l', { recurrent_activation: 'wobble' })),
      /layer "l" has the recurrent activation "wobble"/,
    ],
    [
      'an activation whose name tfjs changes before it looks for it',
      sequential(layer('Dense', 'd', { activation: 'gelu_new' })),
      /layer "d" has the activation "gelu_new"/,
    ],
    [
      'several inputs',
      graph(['a', 'b'], ['d'], dense),
      /has 2 inputs \(a, b\); only models with one are trained/,
    ],
    ['several outputs', graph(['a'], ['d', 'e'], dense), /has 2 outputs \(d, e\)/],
  ])('with %s is refused by name', async (_, topology, reason) => {
    const model = await modelOf(topology);
    const check = () => {
      checkTopology(model);
    };
    expect(check).toThrow(LoraError);
    expect(check).toThrow(reason);
  });

  it.each([
    ['hard_sigmoid', sequential(layer('LSTM', 'l', { recurrent_activation: 'hard_sigmoid' }))],
    ['one input and output', graph(['a'], ['d'], layer('InputLayer', 'a'), dense)],
  ])('with %s can be trained', async (_, topology) => {
    const model = await modelOf(topology);
    expect(() => {
      checkTopology(model);
    }).not.toThrow();
  });
});

describe('shards', () => {
  const model = sequential(dense);

  it.each<[string, readonly number[], RegExp]>([
    ['too short', [47], /shard has 47 bytes, but the weights of the manifest take 48/],
    ['too long', [49], /shard has 49 bytes, but the weights of the manifest take 48/],
    ['too short together', [24, 20], /2 shards have 44 bytes, but .* take 48/],
  ])('that are %s are refused without being read', async (_, sizes, reason) => {
    await expect(checkLayersShards(await modelOf(model, { sizes }))).rejects.toThrow(reason);
  });

  it('that are missing are named', async () => {
    const found = await modelOf(model, { sizes: [24, 24] });
    const second = found.groups[0]!.shards[1]!;
    rmSync(second);
    await expect(checkLayersShards(found)).rejects.toMatchObject({
      message: 'The file cannot be read: it does not exist.',
      place: { file: second },
    });
  });

  it.each([
    ['float16', 24, {}],
    ['uint8', 12, { scale: 0.1, min: -1 }],
    ['uint16', 24, { scale: 0.1, min: -1 }],
  ])('may be of weights quantized to %s', async (dtype, size, range) => {
    const weight = { ...KERNEL, quantization: { dtype, ...range } };
    const found = await modelOf(model, { weight, sizes: [size] });
    await expect(checkLayersShards(found)).resolves.toBeUndefined();
  });

  it('of quantized weights without a range are refused', async () => {
    const weight = { ...KERNEL, quantization: { dtype: 'uint8' } };
    const found = await modelOf(model, { weight, sizes: [12] });
    await expect(checkLayersShards(found)).rejects.toThrow(/quantized weight has no scale and min/);
  });
});

describe('a layer without a gradient', () => {
  const first = layer('Conv2D', 'c1', { dilation_rate: [1, 1] });
  const dilated = layer('Conv2D', 'c2', { dilation_rate: [2, 2] });
  const net = sequential(first, dilated, layer('Flatten', 'flat'), dense);
  const a = layer('InputLayer', 'a');
  /** c1 and c2 read the input, d reads c1 alone. */
  const branches = graph(
    ['a'],
    ['sum'],
    layer('Add', 'sum', {}, ['d', 'c2']),
    a,
    layer('Conv2D', 'c1', {}, ['a']),
    layer('Conv2D', 'c2', { dilation_rate: 2 }, ['a']),
    layer('Dense', 'd', {}, ['c1']),
  );

  it.each<[string, Json, readonly string[], RegExp | null]>([
    ['is adapted', net, ['c2'], /layer "c2" is a dilated convolution \(Conv2D\), through which/],
    ['comes after an adapted one', net, ['c1', 'd'], /layer "c2" is a dilated convolution/],
    ['comes before all adapted ones', net, ['d'], null],
    ['is in another branch', branches, ['c1'], null],
    ['is adapted in its branch', branches, ['c1', 'c2'], /layer "c2" is a dilated convolution/],
    [
      'is within a wrapper and a model',
      sequential(
        layer('TimeDistributed', 'each', { layer: dense }),
        sequential(layer('Masking', 'mask')),
      ),
      ['d'],
      /layer "mask" is of the class Masking/,
    ],
    [
      'is a transposed convolution of volumes',
      sequential(dense, layer('Conv3DTranspose', 'up')),
      ['d'],
      /layer "up" is of the class Conv3DTranspose/,
    ],
    [
      'has none for its depths',
      sequential(layer('SeparableConv2D', 's', { dilation_rate: [1, 3] })),
      ['s'],
      /layer "s" is a dilated convolution \(SeparableConv2D\)/,
    ],
    [
      'ignores its dilation',
      sequential(layer('DepthwiseConv2D', 's', { dilation_rate: 2 })),
      ['s'],
      null,
    ],
  ])('%s', async (_, topology, adapted, reason) => {
    const model = await modelOf(topology);
    const check = () => {
      refuseWithoutGradient(model, adapted);
    };
    if (reason) expect(check).toThrow(reason);
    else expect(check).not.toThrow();
  });

  it('is looked for in a bounded number of calls', async () => {
    let reads = 0;
    const names = Array.from({ length: 3000 }, (_, i) => `l${3000 - i}`);
    const chain = names.map((name, i) => {
      const { inbound_nodes, ...own } = layer('Dense', name, {}, [names[i + 1] ?? 'a']);
      const count = () => {
        reads += 1;
        return inbound_nodes;
      };
      return Object.defineProperty(own, 'inbound_nodes', { get: count });
    });
    const topology = graph(['a'], ['l3000'], ...chain, a);
    refuseWithoutGradient({ ...(await modelOf(net)), topology }, ['l1']);
    // all of the budget, and the rest of a pass
    expect(reads).toBeGreaterThan(99_000);
    expect(reads).toBeLessThan(106_000);
  });
});
