import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { dequantise } from '../../../../src/formats/gguf/dequantise';
import { fromBF16, fromF16, toBF16, toF16 } from '../../../../src/formats/floats';
import { toQ8_0 } from '../../../../src/formats/gguf/quantise';
import type { DType } from '../../../../src/formats/tensorInfo';

const folder = path.resolve(import.meta.dirname, '../../../fixtures/gguf-blocks');
const kinds = readdirSync(folder)
  .filter((name) => name.endsWith('.blocks'))
  .map((name) => name.replace('.blocks', ''));
const bytes = (name: string) => new Uint8Array(readFileSync(path.join(folder, name)));

describe('dequantising', () => {
  it('covers every block type', () =>
    expect(kinds.sort()).toEqual([
      'IQ4_NL',
      'IQ4_XS',
      'MXFP4',
      'Q2_K',
      'Q3_K',
      'Q4_0',
      'Q4_1',
      'Q4_K',
      'Q5_0',
      'Q5_1',
      'Q5_K',
      'Q6_K',
      'Q8_0',
    ]));

  it.each(kinds)('matches the gguf package bit for bit for %s blocks', (kind) => {
    const expected = new Uint32Array(bytes(`${kind}.f32`).buffer);
    const values = new Float32Array(expected.length);
    expect(dequantise(kind as DType, bytes(`${kind}.blocks`), values)).toBe(true);
    expect([...new Uint32Array(values.buffer)]).toEqual([...expected]);
  });

  it('widens f16 exactly, including subnormals and infinity', () => {
    const cases: [number, number][] = [
      [0x3c00, 1],
      [0xc000, -2],
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x7bff, 65504],
      [0x7c00, Infinity],
      [0x8000, -0],
    ];
    expect([...fromF16(Uint16Array.from(cases, ([bits]) => bits))]).toEqual(
      cases.map(([, value]) => value),
    );
    expect(fromF16(Uint16Array.of(0x7e00))[0]).toBeNaN();
  });

  it('widens bf16 exactly', () => {
    expect([...fromBF16(Uint16Array.of(0x3f80, 0xc0a0, 0x0001))]).toEqual([1, -5, 2 ** -133]);
  });
});

it('quantises to q8_0 as the gguf package does, bit for bit', () => {
  expect(toQ8_0(new Float32Array(bytes('to_q8_0.f32').buffer))).toEqual(bytes('to_q8_0.bytes'));
  expect(() => toQ8_0(new Float32Array(31))).toThrow(RangeError);
});

describe('narrowing to 16 bits', () => {
  it('round-trips every f16 and bf16 value', () => {
    const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
    const isNumber = (bits: number, mantissa: number, exponent: number) =>
      (bits & exponent) !== exponent || (bits & mantissa) === 0;
    const [halves, bfloats] = [
      all.filter((h) => isNumber(h, 0x3ff, 0x7c00)),
      all.filter((h) => isNumber(h, 0x7f, 0x7f80)),
    ];
    expect(toF16(fromF16(halves))).toEqual(halves);
    expect(toBF16(fromBF16(bfloats))).toEqual(bfloats);
  });

  it('rounds to nearest even, overflows to infinity and keeps NaN', () => {
    // 1 + 2^-11 lies between 1 and 1 + 2^-10; 1 + 3·2^-11 between that and 1 + 2^-9.
    expect([
      ...fromF16(
        toF16(
          Float32Array.of(
            1 + 2 ** -11,
            1 + 3 * 2 ** -11,
            1 + 2 ** -11 + 2 ** -20,
            65_519,
            65_520,
            2 ** -25,
            2 ** -25 + 2 ** -40,
            -(2 ** -26),
          ),
        ),
      ),
    ]).toEqual([1, 1 + 2 ** -9, 1 + 2 ** -10, 65_504, Infinity, 0, 2 ** -24, -0]);
    expect([
      ...fromBF16(toBF16(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4e38, -Infinity))),
    ]).toEqual([1, 1 + 2 ** -6, Infinity, -Infinity]);
    expect(fromF16(toF16(Float32Array.of(NaN)))[0]).toBeNaN();
    expect(fromBF16(toBF16(Float32Array.of(NaN)))[0]).toBeNaN();
  });
});
