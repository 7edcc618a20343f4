/** Widening to f32: exact for both 16-bit formats. */

/** bf16 is the upper half of an f32. */
export function fromBF16(source: Uint16Array, result: Float32Array = new Float32Array(source.length)): Float32Array {
  const bits = bitsOf(result);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return result;
}

export function fromF16(source: Uint16Array, result: Float32Array = new Float32Array(source.length)): Float32Array {
  const bits = bitsOf(result);
  for (let i = 0; i < source.length; i++) bits[i] = HALF[source[i]!]!;
  return result;
}

export function fromF64(source: Float64Array, result: Float32Array = new Float32Array(source.length)): Float32Array {
  result.set(source);
  return result;
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array) => new Uint32Array(buffer, byteOffset, length);

/** Bits of the f32 for each of the 65,536 halves: a table is ten times faster than the arithmetic. */
const HALF = (() => {
  const table = new Uint32Array(1 << 16);
  for (let h = 0; h < table.length; h++) table[h] = halfBits(h);
  return table;
})();

/** IEEE 754 binary16 -> bits of binary32. */
function halfBits(h: number): number {
  const sign = (h & 0x8000) << 16;
  const exponent = (h >> 10) & 0x1f;
  let mantissa = h & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  let shift = 113;
  while (!(mantissa & 0x400)) {
    mantissa <<= 1;
    shift--;
  }
  return sign | (shift << 23) | ((mantissa & 0x3ff) << 13);
}

/** f32 value of a half given by its bits. */
const value = new Float32Array(1);
const valueBits = new Uint32Array(value.buffer);
export function halfToNumber(h: number): number {
  valueBits[0] = HALF[h]!;
  return value[0]!;
}
