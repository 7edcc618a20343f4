import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { dequantise } from '../../../src/formats/gguf/dequantise';
import { fromBF16, fromF16 } from '../../../src/formats/floats';
import type { DType } from '../../../src/formats/types';

const folder = path.resolve(import.meta.dirname, '../../fixtures/gguf-blocks');
const kinds = readdirSync(folder).filter((name) => name.endsWith('.blocks')).map((name) => name.replace('.blocks', ''));
const bytes = (name: string) => new Uint8Array(readFileSync(path.join(folder, name)));

describe('dequantising', () => {
  it('has blocks of every type', () => expect(kinds.sort()).toEqual(['IQ4_NL', 'IQ4_XS', 'Q2_K', 'Q3_K', 'Q4_0', 'Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0']));

  it.each(kinds)('%s blocks give the gguf package\'s values bit for bit', (kind) => {
    const expected = new Uint32Array(bytes(`${kind}.f32`).buffer);
    const values = new Float32Array(expected.length);
    expect(dequantise(kind as DType, bytes(`${kind}.blocks`), values)).toBe(true);
    expect([...new Uint32Array(values.buffer)]).toEqual([...expected]);
  });

  it('widens halves exactly, subnormal and infinite ones too', () => {
    const cases: [number, number][] = [[0x3c00, 1], [0xc000, -2], [0x0001, 2 ** -24], [0x03ff, 1023 * 2 ** -24], [0x7bff, 65504], [0x7c00, Infinity], [0x8000, -0]];
    expect([...fromF16(Uint16Array.from(cases, ([bits]) => bits))]).toEqual(cases.map(([, value]) => value));
    expect(fromF16(Uint16Array.of(0x7e00))[0]).toBeNaN();
  });

  it('widens bf16 by its upper half', () => {
    expect([...fromBF16(Uint16Array.of(0x3f80, 0xc0a0, 0x0001))]).toEqual([1, -5, 2 ** -133]);
  });
});
