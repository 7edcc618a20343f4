import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../../../src/formats/safetensors/read';
import { DYNAMIC_MAP, FOUR_BIT_CODES } from '../../../../src/formats/quantized/codes';
import { absmaxOf, quantizeNf4 } from '../../../../src/formats/quantized/fourBit';
import { quantizeInt8 } from '../../../../src/formats/quantized/integers';

const file = path.join(__dirname, '../../../fixtures/quantized/numbers.safetensors');
let numbers: SafetensorsFile;
beforeAll(async () => {
  numbers = await SafetensorsFile.open(file);
});
afterAll(() => numbers.close());

const f32 = (name: string) => numbers.readF32(name);
const bytes = async (name: string) => [...(await numbers.readBytes(name))];
const roundingOf = (name: string) => (name === 'many' ? 'BF16' : 'F32');

describe('the codes of bitsandbytes', () => {
  it('are the same numbers', async () => {
    expect(DYNAMIC_MAP).toEqual(await f32('dynamic_map'));
    expect(FOUR_BIT_CODES.nf4).toEqual(await f32('nf4_map'));
    expect(FOUR_BIT_CODES.fp4).toEqual(await f32('fp4_map'));
  });
});

describe.each(['wide', 'many', 'halves', 'constant', 'short'])('%s numbers', (name) => {
  const input = async () => {
    const values = await f32(`${name}.input`);
    const shape = numbers.tensors.get(`${name}.input`)!.shape as [number, number];
    return [values, shape, roundingOf(name)] as const;
  };

  it('are stored in NF4 byte for byte, and their scales', async () => {
    const { packed, scales } = quantizeNf4(...(await input())).storage;
    expect([...packed]).toEqual(await bytes(`${name}.nf4`));
    if (scales.kind !== 'nested') throw new Error('The scales are not quantized.');
    expect([...scales.codes]).toEqual(await bytes(`${name}.nested_quantized`));
    const [offset] = await f32(`${name}.nested_offset`);
    expect(Math.abs(scales.offset / offset! - 1)).toBeLessThan(3e-7); // sums in another order
    const most = await f32(`${name}.nested_absmax`);
    scales.absmax.forEach((value, i) => {
      expect(Math.abs(value - most[i]!)).toBeLessThanOrEqual(3e-7 * offset!);
    });
  });

  it('have the values of their NF4 storage', async () => {
    const { storage } = quantizeNf4(...(await input()));
    const values = quantizeNf4(...(await input())).values();
    const want = await f32(`${name}.nested_values`);
    const largest = Math.max(...absmaxOf(storage.scales));
    values.forEach((value, i) => {
      const ulp = storage.rounding === 'F32' ? 2 ** -24 * largest : 0;
      expect(Math.abs(value - want[i]!)).toBeLessThanOrEqual(ulp);
    });
  });

  it('are stored in int8 byte for byte, with the same values', async () => {
    const matrix = quantizeInt8(...(await input()));
    const { data, scales } = matrix.storage;
    expect([...new Uint8Array(data.buffer)]).toEqual(await bytes(`${name}.int8`));
    expect(scales).toEqual(await f32(`${name}.int8_scales`));
    if (roundingOf(name) === 'F32')
      expect(matrix.values()).toEqual(await f32(`${name}.int8_values`));
  });
});
