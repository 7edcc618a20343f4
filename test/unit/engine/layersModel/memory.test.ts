import { describe, expect, it } from 'vitest';
import type { LayersModelFile } from '../../../../src/formats/layersModel/file';
import {
  describeLayersMemory,
  estimateLayersMemory,
} from '../../../../src/engine/layersModel/memory';
import { PROCESS } from '../../../../src/lora/memory';

const layer = (class_name: string, config: object) => ({ class_name, config });

/** A sequential model with one weight of 1000 numbers. */
function modelOf(...layers: readonly object[]): LayersModelFile {
  const weights = [{ name: 'dense/kernel', shape: [10, 100], dtype: 'float32' as const }];
  return {
    path: '/w/model.json',
    name: 'w',
    json: {},
    topology: { class_name: 'Sequential', config: { name: 'net', layers } },
    groups: [{ shards: [], weights }],
  };
}

const TRAINED = { numbers: 20, adapted: 1000, labels: null };
const dense = layer('Dense', { name: 'dense', units: 100, activation: 'relu', use_bias: true });

describe('the memory of a step of a layers model', () => {
  it('has the weights, what trains, each array and its gradient, and the process', () => {
    const found = estimateLayersMemory(modelOf(dense), [10], TRAINED, 4);
    const activations = 4 * 4 * (2 * 3 * 100 + 4 * 100);
    expect(found).toEqual({
      rows: 4,
      weights: 3 * 4 * 1000,
      trained: 4 * (6 * 20 + 6 * 1000),
      activations,
      process: PROCESS,
      total: 12000 + 24480 + activations + PROCESS,
    });
  });

  it('counts the steps of recurrent layers and of layers that are called for each', () => {
    const lstm = layer('LSTM', { name: 'lstm', units: 2, return_sequences: true });
    const each = layer('TimeDistributed', { name: 'each', layer: { ...dense, name: 'dense' } });
    const found = estimateLayersMemory(modelOf(lstm, each), [5, 3], TRAINED, 1);
    expect(found).toMatchObject({
      activations: 4 * (2 * (5 * 30 * 2 + 5 * 3 * 100) + 4 * 5 * 100),
    });
  });

  it.each([true, false])('counts the steps of recurrent convolutions: %j', (return_sequences) => {
    const own = layer('ConvLSTM2D', {
      ...{ name: 'own', filters: 3, kernel_size: 3, strides: 1, padding: 'same' },
      return_sequences,
    });
    const found = estimateLayersMemory(modelOf(own), [5, 4, 6, 2], TRAINED, 1);
    const largest = (return_sequences ? 5 : 1) * 4 * 6 * 3;
    expect(found).toMatchObject({
      activations: 4 * (2 * 5 * 24 * 4 * 6 * 3 + 4 * largest),
    });
  });

  it.each([
    ['a batch norm', 2, layer('BatchNormalization', { name: 'own' })],
    ['relu', 1, layer('Activation', { name: 'own', activation: 'relu' })],
    ['relu6', 2, layer('Activation', { name: 'own', activation: 'relu6' })],
    ['a limited ReLU', 2, layer('ReLU', { name: 'own', max_value: 6 })],
    ['a dropout', 0, layer('Dropout', { name: 'own', rate: 0.5 })],
  ])('has the arrays of %s', (_, arrays, own) => {
    const found = estimateLayersMemory(modelOf(own), [10], TRAINED, 1);
    expect(found).toMatchObject({ activations: 4 * 10 * (2 * arrays + 4) });
  });

  it.each([-1, null])('finds the side of a row that %j stands for', (side) => {
    const rows = layer('Reshape', { name: 'rows', target_shape: [side, 2] });
    const found = estimateLayersMemory(modelOf(rows, dense), [10], TRAINED, 1);
    expect(found).toMatchObject({ activations: 4 * (2 * 3 * 5 * 100 + 4 * 5 * 100) });
  });

  it('counts a new output layer', () => {
    const model = modelOf(dense);
    const of = (labels: number) => estimateLayersMemory(model, [10], { ...TRAINED, labels }, 4);
    expect(of(100)).toMatchObject({ trained: 24480 });
    expect(of(3)).toMatchObject({ trained: 24480 + 4 * 6 * 33 });
  });

  it.each([
    ['a custom layer', layer('Swirl', { name: 'own' })],
    ['a recurrent convolution without a kernel', layer('ConvLSTM2D', { name: 'own', filters: 2 })],
    ['a recurrent layer of cells', layer('RNN', { name: 'own', cell: [] })],
    ['settings that are no numbers', layer('Dense', { name: 'own', units: 'many' })],
    ['no layer', { name: 'own' }],
    ['a class that objects have by nature', layer('constructor', { name: 'own' })],
    [
      'layers that wait for each other',
      layer('Model', {
        name: 'own',
        layers: [{ ...dense, name: 'dense', inbound_nodes: [[['dense', 0, 0, {}]]] }],
      }),
    ],
  ])('is not guessed for %s', (_, own) => {
    const found = estimateLayersMemory(modelOf(own), [10, 10, 3], TRAINED, 4);
    expect(found).toEqual({ unknown: 'own' });
    expect(describeLayersMemory(found)).toMatch(/not estimated, .* the layer "own"/);
  });

  it('is given up for models that call models twice at every level', () => {
    const twice = (inner: object) => layer('Sequential', { name: 'own', layers: [inner, inner] });
    let own: object = layer('Sequential', { name: 'own', layers: [] });
    for (let level = 0; level < 40; level++) own = twice(own);
    const found = estimateLayersMemory(modelOf(own), [10], TRAINED, 4);
    expect(found).toEqual({ unknown: 'own' });
  });

  it('is shown with its parts', () => {
    const found = estimateLayersMemory(modelOf(dense), [10], TRAINED, 4);
    expect(describeLayersMemory(found, '', 2e9)).toMatch(
      /^memory of a step with 4 rows: about \d+ MB \(weights .*, of 2(?:\.\d+)? GB free$/,
    );
    expect(describeLayersMemory(found, '', 3e8)).toMatch(
      / of 300 MB free; it does not fit, .* no gradient checkpointing: use smaller batches$/,
    );
  });
});
