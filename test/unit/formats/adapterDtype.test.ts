import { describe, expect, it } from 'vitest';
import { adapterTensor, commonDtype, dtypeToWrite } from '../../../src/formats/adapterDtype';
import { fromF8, fromF16 } from '../../../src/formats/floats';
import type { DType } from '../../../src/formats/tensorInfo';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';
import type { Adapter, AdapterDtype } from '../../../src/lora/adapter';

const adapter = (dtype?: AdapterDtype): Adapter => ({
  config: { ...PLAIN_LORA, base_model_name_or_path: null, raw: {} },
  modules: [],
  trained: [],
  ...(dtype && { dtype }),
});

describe('the element type of an adapter', () => {
  it.each<[readonly (readonly [string, DType])[], AdapterDtype]>([
    [
      [
        ['x.lora_A.weight', 'F16'],
        ['x.lora_B.weight', 'F16'],
      ],
      'F16',
    ],
    [
      [
        ['lora_unet_x.lora_down.weight', 'BF16'],
        ['lora_unet_x.alpha', 'F32'],
      ],
      'BF16',
    ],
    [
      [
        ['x.lora_a', 'F16'],
        ['x.lora_b', 'F32'],
      ],
      'F32',
    ],
    [[['x.lora_a', 'F64']], 'F32'],
    [[], 'F32'],
  ])('of %j is %s', (tensors, dtype) => {
    expect(commonDtype(tensors.map(([name, own]) => ({ name, dtype: own })))).toBe(dtype);
  });

  it('stays when all sources have it, or is the one that was asked for', () => {
    expect(dtypeToWrite([adapter('F16'), adapter('F16')], 'keep')).toBe('F16');
    expect(dtypeToWrite([adapter('F16'), adapter('BF16')], 'keep')).toBe('F32');
    expect(dtypeToWrite([adapter('F16'), adapter()], 'keep')).toBe('F32');
    expect(dtypeToWrite([adapter('F16')], 'float32')).toBe('F32');
    expect(dtypeToWrite([adapter()], 'bfloat16')).toBe('BF16');
  });

  it('rounds to the nearest, and refuses what is too large', () => {
    const data = Float32Array.of(1, -0.333333, 65504);
    const { data: bits } = adapterTensor({ name: 't', shape: [3], data }, 'F16');
    expect([...fromF16(bits as Uint16Array)]).toEqual([1, -0.333251953125, 65504]);
    const large = { name: 't', shape: [1], data: Float32Array.of(65520) };
    expect(() => adapterTensor(large, 'F16')).toThrow(/t has numbers that are too large for F16/);
    expect(adapterTensor(large, 'F32').data).toBe(large.data);
  });

  it.each(['F32', 'F16', 'BF16'] as const)('%s refuses numbers that are not finite', (dtype) => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const broken = { name: 't', shape: [2], data: Float32Array.of(1, value) };
      expect(() => adapterTensor(broken, dtype)).toThrow(
        /t would have numbers that float32 cannot hold/,
      );
    }
  });
});

it('8-bit floats have the values of the OCP formats', () => {
  const bits = Uint8Array.of(0x00, 0x01, 0x08, 0x38, 0x7e, 0xb8, 0x7f);
  expect([...fromF8(bits, 'F8_E4M3')]).toEqual([0, 2 ** -9, 2 ** -6, 1, 448, -1, NaN]);
  const wide = Uint8Array.of(0x00, 0x01, 0x3c, 0x7b, 0xbc, 0x7c);
  expect([...fromF8(wide, 'F8_E5M2')]).toEqual([0, 2 ** -16, 1, 57344, -1, Infinity]);
});
