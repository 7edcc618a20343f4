import { expect, it } from 'vitest';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { refuseUnusedTensors } from '../../../../src/formats/architecture/unusedTensors';
import { readJson } from '../../../support/models';

const config = readJson('gemma4', 'base/config.json') as Record<string, unknown>;
const specWith = (changes: object) => readSpec({ ...config, ...changes }, 'config.json');

it('the last layer of Gemma 4 sees all tokens, whatever the config says', () => {
  const types = Array<string>(5).fill('sliding_attention');
  const spec = specWith({ layer_types: types, num_kv_shared_layers: 0 });
  expect(spec.layers.map(({ attention }) => attention.window)).toEqual([4, 4, 4, 4, null]);
});

it('layers use the keys of the last layer of their type that has its own', () => {
  const of = (spec: ReturnType<typeof specWith>) =>
    spec.layers.map(({ attention }) => attention.keys_of);
  expect(of(specWith({}))).toEqual([undefined, undefined, undefined, 2, 1]);
});

it.each([
  [{ num_kv_shared_layers: 4 }, /"num_kv_shared_layers" leaves no full_attention layer/],
  [{ num_kv_shared_layers: 5 }, /"num_kv_shared_layers" must be a whole number from 0 to 4/],
  [{ use_bidirectional_attention: 'all' }, /"use_bidirectional_attention" is "all"/],
  [{ per_layer_config: { 1: 16 } }, /"per_layer_config" must have an object for layer 1/],
  [
    { per_layer_config: { 1: { num_key_value_heads: 3 } } },
    /3 of layer 1 does not divide num_attention_heads = 4/,
  ],
])('a config that cannot be used is refused: %j', (changes, message) => {
  expect(() => specWith(changes)).toThrow(message);
});

it('projections of keys that a layer does not use are ignored, those of others are not', () => {
  const check = (layer: number) => () =>
    refuseUnusedTensors([`model.layers.${layer}.self_attn.v_norm.weight`], specWith({}), 'base');
  expect(check(3)).not.toThrow();
  expect(check(2)).toThrow('a tensor that the config does not describe');
});
