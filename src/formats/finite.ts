import { LoraError, type Place } from '../shared/errors';

/** Errors: LoraError('adapter') for the first number that is none. */
export function allFinite(values: Float32Array, place: Place): Float32Array {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return values;
  throw new LoraError('adapter', `Element ${at} is ${values[at]!}, so the adapter cannot be used.`, { place, fix: 'The training that made it went wrong: use an earlier checkpoint.' });
}
