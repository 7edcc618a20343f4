// Weights of the transform with 13 fractional bits, of Loeffler, Ligtenberg and Moschytz,
// "Practical fast 1-D DCT algorithms with 11 multiplications" (1989), as in libjpeg's "slow"
// integer transform (jidctint.c), whose numbers this is to have bit for bit.
const BITS = 13;
/** Fractional bits between the passes. */
const PASS_BITS = 2;
const C0298 = 2446;
const C0390 = 3196;
const C0541 = 4433;
const C0765 = 6270;
const C0899 = 7373;
const C1175 = 9633;
const C1501 = 12299;
const C1847 = 15137;
const C1961 = 16069;
const C2053 = 16819;
const C2562 = 20995;
const C3072 = 25172;

const scratch = new Int32Array(64);
const LEVEL = 128;

/** Where the samples of a block go. */
export interface BlockTarget {
  readonly samples: Uint8ClampedArray;
  readonly at: number;
  /** From one row to the next. */
  readonly stride: number;
}

/**
 * The samples of a block of 8 x 8.
 *
 * @param at Where the block begins among the coefficients, which `table` multiplies.
 */
export function inverseCosine(
  coefficients: Int16Array,
  at: number,
  table: Uint16Array,
  { samples, at: to, stride }: BlockTarget,
): void {
  for (let i = 0; i < 64; i++) scratch[i] = coefficients[at + i]! * table[i]!;
  for (let x = 0; x < 8; x++) transform(x, 8, BITS - PASS_BITS);
  for (let y = 0; y < 8; y++) {
    transform(8 * y, 1, BITS + PASS_BITS + 3);
    for (let x = 0; x < 8; x++) samples[to + y * stride + x] = scratch[8 * y + x]! + LEVEL;
  }
}

/** Eight numbers of the scratch in place, each `step` after the other. */
function transform(at: number, step: number, shift: number): void {
  const half = 1 << (shift - 1);
  const in2 = scratch[at + 2 * step]!;
  const in6 = scratch[at + 6 * step]!;
  const even = (in2 + in6) * C0541;
  const low = even - in6 * C1847;
  const high = even + in2 * C0765;
  const sum = (scratch[at]! + scratch[at + 4 * step]!) << BITS;
  const difference = (scratch[at]! - scratch[at + 4 * step]!) << BITS;
  const e0 = sum + high + half;
  const e3 = sum - high + half;
  const e1 = difference + low + half;
  const e2 = difference - low + half;

  const in1 = scratch[at + step]!;
  const in3 = scratch[at + 3 * step]!;
  const in5 = scratch[at + 5 * step]!;
  const in7 = scratch[at + 7 * step]!;
  const all = (in7 + in3 + in5 + in1) * C1175;
  const z1 = -(in7 + in1) * C0899;
  const z2 = -(in5 + in3) * C2562;
  const z3 = all - (in7 + in3) * C1961;
  const z4 = all - (in5 + in1) * C0390;
  const o7 = in7 * C0298 + z1 + z3;
  const o5 = in5 * C2053 + z2 + z4;
  const o3 = in3 * C3072 + z2 + z3;
  const o1 = in1 * C1501 + z1 + z4;

  scratch[at] = (e0 + o1) >> shift;
  scratch[at + 7 * step] = (e0 - o1) >> shift;
  scratch[at + step] = (e1 + o3) >> shift;
  scratch[at + 6 * step] = (e1 - o3) >> shift;
  scratch[at + 2 * step] = (e2 + o5) >> shift;
  scratch[at + 5 * step] = (e2 - o5) >> shift;
  scratch[at + 3 * step] = (e3 + o7) >> shift;
  scratch[at + 4 * step] = (e3 - o7) >> shift;
}
