/*
 * The numbers that bitsandbytes' codes stand for, as f32: create_dynamic_map and get_4bit_type of
 * its functional.py.
 */

/** NF4 (Dettmers et al. 2023): quantiles of a normal distribution, in ascending order. */
const NF4 = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

const FP4_SIZES = [0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];

/** The sixteen numbers of each type of 4 bits. */
export const FOUR_BIT_CODES = {
  nf4: NF4,
  fp4: Float32Array.from([...FP4_SIZES, ...FP4_SIZES.map((size) => -size || 0)]),
} as const;

export type FourBitType = keyof typeof FOUR_BIT_CODES;

const EXPONENTS = 7;

/** The 256 numbers of the dynamic type (Dettmers 2015), in ascending order. */
export const DYNAMIC_MAP = dynamicMap();

function dynamicMap(): Float32Array {
  const numbers = [0, 1];
  for (let i = 0; i < EXPONENTS; i++) {
    const scale = Math.fround(10 ** (i - EXPONENTS + 1));
    for (const mean of meansOfSteps(2 ** i)) numbers.push(scale * mean, -scale * mean);
  }
  return Float32Array.from(numbers).sort();
}

/** The middles of `count` equal steps from 0.1 to 1, as torch.linspace has them in f32. */
function meansOfSteps(count: number): number[] {
  const [start, step] = [Math.fround(0.1), Math.fround(Math.fround(1 - Math.fround(0.1)) / count)];
  const bounds = Array.from({ length: count + 1 }, (_, i) =>
    i < (count + 1) / 2 ? Math.fround(start + step * i) : Math.fround(1 - step * (count - i)),
  );
  return bounds.slice(1).map((bound, i) => Math.fround(Math.fround(bounds[i]! + bound) / 2));
}
