import { toBF16 } from '../floats';
import type { TensorInfo } from '../tensorInfo';
import type { StoredMatrix, WeightSource } from '../weightSource';
import { writeRows, type QuantizedTensor } from './matrix';

/** A source in which quantized matrices replace tensors, or are added. */
export function withQuantized<S extends WeightSource>(
  source: S,
  quantized: ReadonlyMap<string, QuantizedTensor>,
): S {
  if (quantized.size === 0) return source;
  const infos = [...quantized].map(([name, { dtype, shape }]): [string, TensorInfo] => [
    name,
    { name, dtype, shape },
  ]);
  return {
    ...source,
    tensors: new Map([...source.tensors, ...infos]),
    blocksOf: (name: string) => {
      const own = quantized.get(name);
      return own ? storedMatrix(own) : (source.blocksOf?.(name) ?? null);
    },
    readF32: async (name: string, target?: Float32Array) => {
      const own = quantized.get(name);
      return own ? (await own.load()).values(target) : source.readF32(name, target);
    },
    readBF16: async (name: string, target?: Uint16Array) => {
      const own = quantized.get(name);
      return own ? toBF16((await own.load()).values(), target) : source.readBF16(name, target);
    },
  };
}

function storedMatrix({ form, shape, load }: QuantizedTensor): StoredMatrix | null {
  const [rows, width] = shape;
  return form && { ...form, width, read: async (target) => writeRows(await load(), rows, target) };
}
