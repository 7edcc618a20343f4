import { describe, expect, it } from 'vitest';
import { readSpec } from '../../../../src/formats/architecture/readSpec';

const SIZES = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  vocab_size: 64,
};
const layersOf = (config: object) =>
  readSpec({ ...SIZES, ...config }, 'config.json').layers.map(({ attention }) => attention);

describe('layers with a window', () => {
  it.each([
    ['the default', {}, [4096, 4096, 4096, null]],
    ['a period', { sliding_window_pattern: 2, sliding_window: 8 }, [8, null, 8, null]],
    [
      'letters, after which the last is global',
      { sliding_window_pattern: 'LGL' },
      [4096, null, 4096, null],
    ],
    ['no window', { sliding_window: null, sliding_window_pattern: 2 }, [null, null, null, null]],
  ])('are those of EXAONE 4 by %s', (_, config, windows) => {
    const layers = layersOf({ model_type: 'exaone4', ...config });
    expect(layers.map(({ window }) => window)).toEqual(windows);
    const isAllGlobal = windows.every((window) => window === null);
    expect(layers.map(({ rope }) => rope !== null)).toEqual(
      windows.map((window) => isAllGlobal || window !== null),
    );
  });

  it('are refused by other letters', () => {
    expect(() => layersOf({ model_type: 'exaone4', sliding_window_pattern: 'LX' })).toThrow(
      '"sliding_window_pattern" must be a number, or letters L and G',
    );
  });

  it('are all but every fourth of OLMo 3, without the scaling of the others', () => {
    const layers = layersOf({
      model_type: 'olmo3',
      rope_theta: 5,
      rope_scaling: { rope_type: 'linear', factor: 3 },
    });
    expect(layers.map(({ window }) => window)).toEqual([4096, 4096, 4096, null]);
    expect(layers.map(({ rope }) => [rope?.theta, rope?.scaling.kind])).toEqual([
      [5, 'default'],
      [5, 'default'],
      [5, 'default'],
      [5, 'linear'],
    ]);
  });
});

it('scales the queries of Ministral 3 also where the config leaves it out', () => {
  const [first] = layersOf({ model_type: 'ministral3' });
  expect(first!.head_dim).toBe(128);
  expect(first!.rope).toMatchObject({
    theta: 1_000_000,
    scaling: { kind: 'yarn', factor: 16, attention_factor: 1 },
    query_growth: { beta: 0.1, length: 16_384 },
  });
});
