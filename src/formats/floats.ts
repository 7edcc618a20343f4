/*
 * Conversions between f32 and other formats. From 16 bits they are exact; to 16 bits they round to
 * the nearest, ties to even. Each writes to `result`, which must have the size of `source`.
 */

/** bf16 is the upper half of an f32. */
export function fromBF16(
  source: Uint16Array,
  result: Float32Array = new Float32Array(source.length),
): Float32Array {
  const bits = bitsOf(result);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return result;
}

/** IEEE 754 binary16 to f32. */
export function fromF16(
  source: Uint16Array,
  result: Float32Array = new Float32Array(source.length),
): Float32Array {
  const bits = bitsOf(result);
  for (let i = 0; i < source.length; i++) bits[i] = HALF[source[i]!]!;
  return result;
}

/** NaN stays NaN; too large values become infinite. */
export function toBF16(
  source: Float32Array,
  result: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const bits = bitsOf(source);
  for (let i = 0; i < bits.length; i++)
    result[i] = Number.isNaN(source[i])
      ? (bits[i]! >>> 16) | 0x40
      : (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16;
  return result;
}

/** NaN stays NaN; too large values become infinite. */
export function toF16(
  source: Float32Array,
  result: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
  const bits = bitsOf(source);
  for (let i = 0; i < bits.length; i++) result[i] = halfOf(bits[i]!);
  return result;
}

/** The 8-bit types of OCP: E4M3 has no infinities, E5M2 is the upper half of a half. */
export function fromF8(
  source: Uint8Array,
  dtype: 'F8_E4M3' | 'F8_E5M2',
  result: Float32Array = new Float32Array(source.length),
): Float32Array {
  const values = dtype === 'F8_E4M3' ? E4M3 : E5M2;
  for (let i = 0; i < source.length; i++) result[i] = values[source[i]!]!;
  return result;
}

/** Rounds to the nearest f32. */
export function fromF64(
  source: Float64Array,
  result: Float32Array = new Float32Array(source.length),
): Float32Array {
  result.set(source);
  return result;
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array) =>
  new Uint32Array(buffer, byteOffset, length);

/** The f32 bits of each of the 65,536 halves: ten times faster than computing them. */
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

/** Bits of binary32 -> IEEE 754 binary16. */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 255) return sign | 0x7c00 | (mantissa ? 0x200 | (mantissa >> 13) : 0);
  if (exponent < 102) return sign;
  const [value, shift] =
    exponent < 113
      ? [mantissa | 0x800000, 126 - exponent]
      : [((exponent - 112) << 23) | mantissa, 13];
  const rest = value & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  const down = value >>> shift;
  const rounded = rest > half || (rest === half && (down & 1) === 1) ? down + 1 : down;
  return sign | Math.min(rounded, 0x7c00);
}

const value = new Float32Array(1);
const valueBits = new Uint32Array(value.buffer);

/** The value of a half given by its bits. */
export function halfToNumber(h: number): number {
  valueBits[0] = HALF[h]!;
  return value[0]!;
}

const E5M2 = Float32Array.from({ length: 256 }, (_, bits) => halfToNumber(bits << 8));

const E4M3 = Float32Array.from({ length: 256 }, (_, bits) => {
  const sign = bits < 0x80 ? 1 : -1;
  const [exponent, fraction] = [(bits >> 3) & 15, bits & 7];
  if (exponent === 15 && fraction === 7) return NaN;
  return exponent === 0
    ? sign * fraction * 2 ** -9
    : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
});
