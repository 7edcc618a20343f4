import { toBF16 } from './floats';
import type { ReplacedTensor, TensorInfo, WeightSource } from './baseModel';

/** The weights with some tensors taken from elsewhere. */
export function withReplaced<S extends WeightSource>(
  source: S,
  replaced: ReadonlyMap<string, ReplacedTensor> = new Map(),
): S {
  if (replaced.size === 0) return source;
  const infos = [...replaced].map(([name, { shape }]): [string, TensorInfo] => [
    name,
    { name, shape, dtype: 'F32' },
  ]);
  return {
    ...source,
    tensors: new Map([...source.tensors, ...infos]),
    readF32: async (name: string, target?: Float32Array) => {
      const own = replaced.get(name);
      if (!own) return source.readF32(name, target);
      const data = await own.read();
      target?.set(data);
      return target ?? data;
    },
    readBF16: async (name: string, target?: Uint16Array) => {
      const own = replaced.get(name);
      return own ? toBF16(await own.read(), target) : source.readBF16(name, target);
    },
  };
}
