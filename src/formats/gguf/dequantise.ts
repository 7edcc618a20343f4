import { fromBF16, fromF16, fromF64, halfToNumber } from '../floats';
import type { DType } from '../tensorInfo';
import { iq4_nl, iq4_xs, mxfp4, q2_k, q3_k } from './dequantiseLow';

/*
 * Quantised blocks `q` to values `y`. Each operation is rounded to f32 in the order of the `gguf`
 * Python package. Formats: ggml-common.h (block_q4_0 and so on) and ggml-quants.c of ggml. In the
 * loops, `b` is the offset of a block in bytes, `o` that of its first value.
 */

const f32 = Math.fround;
const half = (q: Uint8Array, at: number) => halfToNumber(q[at]! | (q[at + 1]! << 8));
const word = (q: Uint8Array, at: number) =>
  q[at]! | (q[at + 1]! << 8) | (q[at + 2]! << 16) | (q[at + 3]! << 24);

/** d, 16 bytes of two nibbles: low nibbles first. */
function q4_0(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 18, o += 32) {
    const d = half(q, b);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 2 + i]!;
      y[o + i] = d * ((pair & 15) - 8);
      y[o + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
}

function q4_1(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 20, o += 32) {
    const d = half(q, b);
    const m = half(q, b + 2);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 4 + i]!;
      y[o + i] = f32(d * (pair & 15)) + m;
      y[o + 16 + i] = f32(d * (pair >> 4)) + m;
    }
  }
}

/** As q4_0, with a fifth bit for each element in a 32-bit word. */
function q5_0(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 22, o += 32) {
    const d = half(q, b);
    const high = word(q, b + 2);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 6 + i]!;
      y[o + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16);
      y[o + 16 + i] = d * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  }
}

function q5_1(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 24, o += 32) {
    const d = half(q, b);
    const m = half(q, b + 2);
    const high = word(q, b + 4);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 8 + i]!;
      y[o + i] = f32(d * ((pair & 15) | (((high >>> i) & 1) << 4))) + m;
      y[o + 16 + i] = f32(d * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4))) + m;
    }
  }
}

function q8_0(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 34, o += 32) {
    const d = half(q, b);
    for (let i = 0; i < 32; i++) y[o + i] = d * ((q[b + 2 + i]! << 24) >> 24);
  }
}

/** Eight 6-bit scales and eight 6-bit minima in 12 bytes (get_scale_min_k4). */
function scale(q: Uint8Array, at: number, j: number): number {
  return j < 4 ? q[at + j]! & 63 : (q[at + j + 4]! & 15) | ((q[at + j - 4]! >> 6) << 4);
}
function minimum(q: Uint8Array, at: number, j: number): number {
  return j < 4 ? q[at + j + 4]! & 63 : (q[at + j + 4]! >> 4) | ((q[at + j]! >> 6) << 4);
}

function q4_k(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 144, o += 256) {
    const d = half(q, b);
    const dmin = half(q, b + 2);
    for (let j = 0; j < 8; j++) {
      const dj = f32(d * scale(q, b + 4, j));
      const mj = f32(dmin * minimum(q, b + 4, j));
      const from = b + 16 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      for (let i = 0; i < 32; i++)
        y[o + j * 32 + i] = f32(dj * ((q[from + i]! >> shift) & 15)) - mj;
    }
  }
}

function q5_k(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 176, o += 256) {
    const d = half(q, b);
    const dmin = half(q, b + 2);
    for (let j = 0; j < 8; j++) {
      const dj = f32(d * scale(q, b + 4, j));
      const mj = f32(dmin * minimum(q, b + 4, j));
      const from = b + 48 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const high = ((q[b + 16 + i]! >> j) & 1) << 4;
        y[o + j * 32 + i] = f32(dj * (((q[from + i]! >> shift) & 15) | high)) - mj;
      }
    }
  }
}

/** 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d. */
function q6_k(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 210, o += 256) {
    const d = half(q, b + 208);
    for (let e = 0; e < 256; e++) {
      const part = e >> 7;
      const group = (e >> 5) & 3;
      const i = e & 31;
      const low = (q[b + part * 64 + (group & 1) * 32 + i]! >> ((group >> 1) * 4)) & 15;
      const high = (q[b + 128 + part * 32 + i]! >> (group * 2)) & 3;
      const s = (q[b + 192 + (e >> 4)]! << 24) >> 24;
      y[o + e] = f32(d * s) * ((low | (high << 4)) - 32);
    }
  }
}

const DEQUANTISERS: Partial<
  Readonly<Record<DType, (bytes: Uint8Array<ArrayBuffer>, result: Float32Array) => void>>
> = {
  F32: ({ buffer }, result) => result.set(new Float32Array(buffer)),
  F16: ({ buffer }, result) => fromF16(new Uint16Array(buffer), result),
  BF16: ({ buffer }, result) => fromBF16(new Uint16Array(buffer), result),
  F64: ({ buffer }, result) => fromF64(new Float64Array(buffer), result),
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  Q2_K: q2_k,
  Q3_K: q3_k,
  IQ4_NL: iq4_nl,
  IQ4_XS: iq4_xs,
  MXFP4: mxfp4,
};

/** Whether tensors of a dtype can be converted to f32. */
export const canDequantise = (dtype: string): boolean => Object.hasOwn(DEQUANTISERS, dtype);

/** The dtypes that can be converted to f32, for messages. */
export const DEQUANTISED = Object.keys(DEQUANTISERS).join(', ');

/**
 * Converts a tensor's bytes to f32. `bytes` must start at its buffer's start. Returns false, and
 * leaves `result` as it is, for a dtype that is not one of weights.
 */
export function dequantise(
  dtype: DType,
  bytes: Uint8Array<ArrayBuffer>,
  result: Float32Array,
): boolean {
  const convert = DEQUANTISERS[dtype];
  if (!convert) return false;
  convert(bytes, result);
  return true;
}
