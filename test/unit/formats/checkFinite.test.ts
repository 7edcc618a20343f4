import { describe, expect, it } from 'vitest';
import { areFinite, areFiniteBF16 } from '../../../src/formats/checkFinite';
import { toBF16 } from '../../../src/formats/floats';

describe('numbers that are not finite', () => {
  it.each([NaN, Infinity, -Infinity])('are found in f32 and bf16: %d', (value) => {
    const values = Float32Array.of(1, -0, value, 3);
    expect(areFinite(values)).toBe(false);
    expect(areFiniteBF16(toBF16(values))).toBe(false);
  });

  it('are neither the largest numbers nor zero', () => {
    const values = Float32Array.of(0, -0, 3e38, -3e38, 1e-45);
    expect(areFinite(values)).toBe(true);
    expect(areFiniteBF16(toBF16(values))).toBe(true);
  });
});
