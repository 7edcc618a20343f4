import type { StoredWeight } from '../../formats/layersModel/file';
import { numbersOf, type WeightBytes } from '../../formats/layersModel/weights';
import type { DType } from '../../formats/tensorInfo';
import type { MergeSizes, StoredWeights } from '../../shared/mergeFacts';
import type { TensorFacts } from '../merge/roundingFacts';

/** The weights of a model by their names. */
export type WeightMap = ReadonlyMap<string, WeightBytes>;

const TYPES = {
  float32: 'F32',
  int32: 'I32',
  bool: 'BOOL',
  uint8: 'U8',
  uint16: 'U16',
  float16: 'F16',
} as const satisfies Readonly<Record<string, DType>>;

const typeOf = ({ dtype, quantization }: StoredWeight): DType =>
  TYPES[quantization?.dtype ?? dtype];

const bytesIn = (weights: Iterable<WeightBytes>): number =>
  [...weights].reduce((sum, { bytes }) => sum + bytes.length, 0);

/** Sizes of the weights, and the types that they had and have. */
export function layersSizes(before: WeightMap, after: WeightMap): MergeSizes {
  const stored = new Map<string, StoredWeights>();
  for (const { weight, bytes } of after.values()) {
    const own = before.get(weight.name);
    const [from, to] = [own ? typeOf(own.weight) : null, typeOf(weight)];
    const key = `${from ?? ''} ${to}`;
    const {
      tensors,
      updated,
      bytes: sum,
    } = stored.get(key) ?? { tensors: 0, updated: 0, bytes: 0 };
    const isUpdated = own !== undefined && !Buffer.from(bytes).equals(own.bytes);
    stored.set(key, {
      ...{ from, to, tensors: tensors + 1 },
      ...{ updated: updated + Number(isUpdated), bytes: sum + bytes.length },
    });
  }
  return {
    base_bytes: bytesIn(before.values()),
    bytes: bytesIn(after.values()),
    stored: [...stored.values()].sort((a, b) => b.bytes - a.bytes),
  };
}

/**
 * The effect of an update on a weight.
 *
 * @param update The numbers that were added.
 */
export function layersTensorFacts(
  before: WeightBytes,
  after: WeightBytes,
  update: Float32Array,
): TensorFacts {
  const [old, sum] = [numbersOf(before), numbersOf(after)];
  let [square, errors, largest, unmoved] = [0, 0, 0, 0];
  for (let i = 0; i < sum.length; i++) {
    const change = update[i]!;
    const error = Math.abs(old[i]! + change - sum[i]!);
    square += change ** 2;
    errors += error ** 2;
    if (error > largest) largest = error;
    if (change !== 0 && sum[i] === old[i]) unmoved++;
  }
  return {
    name: after.weight.name,
    dtype: typeOf(after.weight),
    delta_norm: Math.sqrt(square),
    rounding_error: largest,
    rms_rounding: Math.sqrt(errors / Math.max(1, sum.length)),
    unmoved,
    elements: sum.length,
  };
}
