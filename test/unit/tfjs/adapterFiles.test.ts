import { describe, expect, it } from 'vitest';
import { readAdapterFiles, writeAdapterFiles } from '../../../src/tfjs/adapterFiles';

const SETTINGS = { r: 2, lora_alpha: 4, use_rslora: false };
const module = (path: string, r: number, lora_alpha: number) => ({
  ...{ path, kind: 'linear' as const, r, lora_alpha, in_features: 3, out_features: 1 },
  A: Float32Array.from({ length: 3 * r }, (_, i) => i + 0.5),
  B: Float32Array.from({ length: r }, (_, i) => -i - 1),
});

describe('the files of an adapter', () => {
  it('have ranks and scales that differ from module to module', () => {
    const own = [module('a', 2, 4), module('b', 4, 4), module('c.a', 2, 12), module('d', 1, 5)];
    const { config, weights } = writeAdapterFiles(own, SETTINGS);
    const { modules } = readAdapterFiles({ config, weights });
    const found = [...modules].map(([path, { r, lora_alpha, scaling }]) => ({
      ...{ path, r, lora_alpha, scaling },
    }));
    expect(found).toEqual([
      { path: 'a', r: 2, lora_alpha: 4, scaling: 2 },
      { path: 'b', r: 4, lora_alpha: 4, scaling: 1 },
      { path: 'c.a', r: 2, lora_alpha: 12, scaling: 6 },
      { path: 'd', r: 1, lora_alpha: 5, scaling: 5 },
    ]);
    const { rank_pattern } = JSON.parse(config) as { rank_pattern: unknown };
    expect(rank_pattern).toEqual({ b: 4, d: 1 });
  });

  it('are read from a buffer of Node that is part of another one', () => {
    const own = module('a', 2, 4);
    const { config, weights } = writeAdapterFiles([own], SETTINGS);
    const around = Buffer.concat([Buffer.alloc(3), weights, Buffer.alloc(6)]);
    const read = readAdapterFiles({ config, weights: around.subarray(3, 3 + weights.length) });
    expect(read.modules.get('a')!.A.data).toEqual(own.A);
    expect(read.modules.get('a')!.B.data).toEqual(own.B);
  });

  it('are refused with two tensors for one factor, and without settings', () => {
    const { config, weights } = writeAdapterFiles(
      [module('a', 2, 4), { ...module('a', 2, 4), kind: 'embedding' }],
      SETTINGS,
    );
    expect(() => readAdapterFiles({ config, weights })).toThrow(/a has two factors A/);
    for (const text of ['null', '[]', '{'])
      expect(() => readAdapterFiles({ config: text, weights })).toThrow(/^adapter_config\.json/);
  });
});
