import { halfToNumber } from '../floats';

/*
 * As in dequantise.ts: the types of two and three bits, and those of four bits with uneven steps.
 * Formats: ggml-common.h of ggml (block_q2_K, block_q3_K, block_iq4_nl, block_iq4_xs, block_mxfp4).
 */

const f32 = Math.fround;
const half = (q: Uint8Array, at: number) => halfToNumber(q[at]! | (q[at + 1]! << 8));

/** 16 bytes of a scale and a minimum, 64 of four pairs of bits, d, dmin. */
export function q2_k(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 84, o += 256) {
    const d = half(q, b + 80);
    const dmin = half(q, b + 82);
    for (let e = 0; e < 256; e++) {
      const both = q[b + (e >> 4)]!;
      const level = (q[b + 16 + (e >> 7) * 32 + (e & 31)]! >> (((e >> 5) & 3) * 2)) & 3;
      y[o + e] = f32(f32(d * (both & 15)) * level) - f32(dmin * (both >> 4));
    }
  }
}

/**
 * 32 bytes of third bits (0 there takes 4 away), 64 of four pairs of bits, sixteen 6-bit scales in
 * 12 bytes, d.
 */
export function q3_k(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 110, o += 256) {
    const d = half(q, b + 108);
    for (let e = 0; e < 256; e++) {
      const group = e >> 5;
      const low = (q[b + 32 + (e >> 7) * 32 + (e & 31)]! >> ((group & 3) * 2)) & 3;
      const level = low - ((q[b + (e & 31)]! >> group) & 1 ? 0 : 4);
      y[o + e] = f32(d * scale3(q, b + 96, e >> 4)) * level;
    }
  }
}

function scale3(q: Uint8Array, at: number, k: number): number {
  const low = k < 8 ? q[at + k]! & 15 : q[at + k - 8]! >> 4;
  const high = (q[at + 8 + (k & 3)]! >> ((k >> 2) * 2)) & 3;
  return (low | (high << 4)) - 32;
}

/** The sixteen uneven steps of the IQ4 types. */
const STEPS = Int8Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);

/** d, 16 bytes of two nibbles: low nibbles first. */
export function iq4_nl(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 18, o += 32) {
    const d = half(q, b);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 2 + i]!;
      y[o + i] = d * STEPS[pair & 15]!;
      y[o + 16 + i] = d * STEPS[pair >> 4]!;
    }
  }
}

/**
 * d, the two high bits of eight scales in 16 bits, their low nibbles in 4 bytes, 128 bytes of two
 * nibbles.
 */
export function iq4_xs(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 136, o += 256) {
    const d = half(q, b);
    const high = q[b + 2]! | (q[b + 3]! << 8);
    for (let g = 0; g < 8; g++) {
      const scale =
        (((q[b + 4 + (g >> 1)]! >> ((g & 1) * 4)) & 15) | (((high >> (2 * g)) & 3) << 4)) - 32;
      const dg = f32(d * scale);
      for (let i = 0; i < 16; i++) {
        const pair = q[b + 8 + g * 16 + i]!;
        y[o + g * 32 + i] = dg * STEPS[pair & 15]!;
        y[o + g * 32 + 16 + i] = dg * STEPS[pair >> 4]!;
      }
    }
  }
}

/** Twice the sixteen numbers of E2M1. */
const HALF_STEPS = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** The exponent of a power of two, 16 bytes of two nibbles: low nibbles first. */
export function mxfp4(q: Uint8Array, y: Float32Array): void {
  for (let b = 0, o = 0; o < y.length; b += 17, o += 32) {
    const half = 2 ** (q[b]! - 128);
    for (let i = 0; i < 16; i++) {
      const pair = q[b + 1 + i]!;
      y[o + i] = half * HALF_STEPS[pair & 15]!;
      y[o + 16 + i] = half * HALF_STEPS[pair >> 4]!;
    }
  }
}
