import { describe, expect, it } from 'vitest';
import {
  baseLayerName,
  roleOf,
  tensorName,
  tensorShape,
  trainedName,
  type TensorRole,
} from '../../../../src/formats/peft/names';
import type { LoraFactors } from '../../../../src/lora/adapter';

const MODULE = 'model.layers.0.q_proj';
const factor = (kind: 'A' | 'B' | 'magnitude', embedding: boolean | null): TensorRole => ({
  role: 'factor',
  factor: kind,
  embedding,
  path: MODULE,
});
const trained = (path: string, tensor: 'weight' | 'bias'): TensorRole => ({
  role: 'trained',
  path,
  tensor,
});

describe('the role of a tensor', () => {
  it.each<[string, TensorRole]>([
    ['lora_A.weight', factor('A', false)],
    ['lora_B.weight', factor('B', false)],
    ['lora_A.default.weight', factor('A', false)],
    ['lora_embedding_A', factor('A', true)],
    ['lora_embedding_B.default', factor('B', true)],
    ['lora_magnitude_vector', factor('magnitude', null)],
    ['lora_magnitude_vector.default.weight', factor('magnitude', null)],
    ['modules_to_save.weight', trained(MODULE, 'weight')],
    ['modules_to_save.default.bias', trained(MODULE, 'bias')],
    ['weight', trained(MODULE, 'weight')],
    ['bias', trained(MODULE, 'bias')],
    ['base_layer.bias', trained(MODULE, 'bias')],
    ['base_layer.weight', { role: 'base', path: MODULE }],
    ['original_module.weight', { role: 'base', path: MODULE }],
    ['original_module.bias', { role: 'base', path: MODULE }],
    ['lora_C.weight', { role: 'unknown' }],
    ['lora_A', { role: 'unknown' }],
    ['lora_A.a.b.weight', { role: 'unknown' }],
    ['lora_A.weight.x', { role: 'unknown' }],
    ['lora_embedding_A.a.b', { role: 'unknown' }],
    ['lora_bias', { role: 'unknown' }],
    ['running_mean', { role: 'unknown' }],
    ['weight.x', { role: 'unknown' }],
  ])('named %s follows from its name', (end, role) => {
    expect(roleOf(`base_model.model.${MODULE}.${end}`)).toEqual(role);
    expect(roleOf(`${MODULE}.${end}`)).toEqual(role);
  });

  it('needs a module', () => {
    for (const name of ['weight', '.weight', '.lora_A.weight', 'base_model.model.weight']) {
      expect(roleOf(name)).not.toMatchObject({ role: 'factor' });
    }
    expect(roleOf('weight')).toEqual({ role: 'unknown' });
  });
});

describe('a tensor of an adapter', () => {
  it('is named after its module and factor', () => {
    const linear = { path: MODULE, kind: 'linear' } as const;
    const names = (module: Parameters<typeof tensorName>[0]) =>
      (['A', 'B', 'magnitude'] as const).map((own) => tensorName(module, own));
    expect(names(linear)).toEqual([
      `base_model.model.${MODULE}.lora_A.weight`,
      `base_model.model.${MODULE}.lora_B.weight`,
      `base_model.model.${MODULE}.lora_magnitude_vector`,
    ]);
    expect(names({ ...linear, kind: 'embedding' })).toEqual([
      `base_model.model.${MODULE}.lora_embedding_A`,
      `base_model.model.${MODULE}.lora_embedding_B`,
      `base_model.model.${MODULE}.lora_magnitude_vector`,
    ]);
    expect(baseLayerName('lm_head')).toBe('base_model.model.lm_head.base_layer.weight');
  });

  it('has the shape of its factor', () => {
    const module: LoraFactors = {
      path: MODULE,
      kind: 'linear',
      r: 2,
      in_features: 24,
      out_features: 5,
      scaling: 1,
      A: new Float32Array(48),
      B: new Float32Array(10),
      magnitude: null,
    };
    const shapes = (own: LoraFactors) =>
      (['A', 'B', 'magnitude'] as const).map((kind) => tensorShape(own, kind));
    expect(shapes(module)).toEqual([[2, 24], [5, 2], [5]]);
    expect(shapes({ ...module, kind: 'conv2d', kernel: [2, 3] })).toEqual([
      [2, 4, 2, 3],
      [5, 2, 1, 1],
      [1, 5, 1, 1],
    ]);
    expect(shapes({ ...module, kind: 'conv3d', kernel: [2, 2, 3] })).toEqual([
      [2, 2, 2, 2, 3],
      [5, 2, 1, 1, 1],
      [1, 5, 1, 1, 1],
    ]);
  });

  it('that is trained in full is below the layer that is adapted too', () => {
    const modules = [{ path: MODULE }] as unknown as readonly LoraFactors[];
    expect(trainedName({ name: `${MODULE}.bias` }, { modules })).toBe(
      `base_model.model.${MODULE}.base_layer.bias`,
    );
    expect(trainedName({ name: 'score.weight' }, { modules })).toBe(
      'base_model.model.score.weight',
    );
  });
});
