import { LoraError, type Place } from '../shared/errors';

/**
 * Whether all are numbers: what is none stays none times 0. Several times as fast as looking at
 * each.
 */
export function areFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0;
  return sum === 0;
}

/** Errors: LoraError('adapter') for the first number that is none. */
export function checkFinite(values: Float32Array, place: Place): Float32Array {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return values;
  throw new LoraError(
    'adapter',
    `Element ${at} is ${values[at]!}, so the adapter cannot be used.`,
    { place, fix: 'The training that made it went wrong: use an earlier checkpoint.' },
  );
}

/** A scale that float32 can hold. Errors: LoraError('adapter') for another. */
export function checkScale(scaling: number, path: string, place: Place): number {
  if (Number.isFinite(Math.fround(scaling))) return scaling;
  throw new LoraError('adapter', `The scale of ${path} is ${scaling}, which float32 cannot hold.`, {
    place,
    fix: "Look at lora_alpha (of mlx-lm: scale) in the adapter's settings.",
  });
}

/** Numbers times a factor. Errors: LoraError('adapter') where float32 cannot hold the products. */
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
    `B of ${path} cannot take in the scale ${factor}: float32 cannot hold the products.`,
    place && { place },
  );
}
