import type { LoraFactors } from '../lora/adapter';
import { LoraError, type Place } from '../shared/errors';

/**
 * Whether all values are finite. Sums value * 0, which is NaN for NaN and infinity: several times
 * faster than a test of each value.
 */
export function areFinite(values: Float32Array | Float64Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0;
  return sum === 0;
}

/** The same for the bits of bf16. */
export function areFiniteBF16(bits: Uint16Array): boolean {
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7f80) === 0x7f80) return false;
  return true;
}

/**
 * Returns the values.
 *
 * @throws LoraError('adapter') when one is NaN or infinite.
 */
export function checkFinite(values: Float32Array, place: Place): Float32Array {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return values;
  throw new LoraError(
    'adapter',
    `Element ${at} is ${values[at]!}, so the adapter cannot be used.`,
    { place, fix: 'The training diverged: use an earlier checkpoint.' },
  );
}

/**
 * Returns the scale.
 *
 * @throws LoraError('adapter') when it is not finite as a float32.
 */
export function checkScale(scaling: number, path: string, place: Place): number {
  if (Number.isFinite(Math.fround(scaling))) return scaling;
  throw new LoraError('adapter', `The scale of ${path} is ${scaling}, which float32 cannot hold.`, {
    place,
    fix: "Check lora_alpha (mlx-lm: scale) in the adapter's config.",
  });
}

/** Smaller numbers have fewer digits as float32. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * The alpha of a module in a file that stores it as float32: its scale times its rank.
 *
 * @throws LoraError('adapter') when float32 cannot hold it.
 */
export function storedAlpha({
  path,
  scaling,
  r,
}: Pick<LoraFactors, 'path' | 'scaling' | 'r'>): number {
  const alpha = scaling * r;
  const isStored = Number.isFinite(Math.fround(alpha)) && alpha >= SMALLEST_NORMAL;
  if (isStored) return alpha;
  throw new LoraError(
    'adapter',
    `The alpha of ${path} would be ${alpha}, which float32 cannot hold.`,
    { fix: "Check lora_alpha (mlx-lm: scale) in the adapter's config." },
  );
}

/**
 * The values of B times a factor, as a new array.
 *
 * @throws LoraError('adapter') when a product is not finite as a float32.
 */
export function multiplied(
  values: Float32Array,
  factor: number,
  path: string,
  place?: Place,
): Float32Array {
  const products = values.map((value) => value * factor);
  if (areFinite(products)) return products;
  throw new LoraError(
    'adapter',
    `B of ${path} cannot be multiplied by the scale ${factor}: float32 cannot hold the products.`,
    place && { place },
  );
}
