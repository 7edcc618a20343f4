import { partsOf } from './architecture/stackedNames';
import type { Spec } from './architecture/spec';
import type { TensorInfo } from './tensorInfo';
import type { WeightSource } from './weightSource';

interface Part {
  readonly stored: string;
  readonly index: number;
  readonly size: number;
}

/**
 * The source with tensors that hold the rows of several modules as one tensor of each module. A
 * checkpoint that has these already keeps them.
 */
export function unstacked(source: WeightSource, spec: Pick<Spec, 'family'>): WeightSource {
  const parts = new Map<string, Part>();
  const tensors = new Map<string, TensorInfo>();
  for (const [stored, info] of source.tensors) {
    const names = partsOf(stored, spec);
    const [rows = 0, ...rest] = info.shape;
    if (!names || rows % names.length !== 0 || names.some((name) => source.tensors.has(name))) {
      tensors.set(stored, info);
      continue;
    }
    const shape = [rows / names.length, ...rest];
    const size = shape.reduce((a, b) => a * b, 1);
    for (const [index, name] of names.entries()) {
      parts.set(name, { stored, index, size });
      tensors.set(name, { ...info, name, shape });
    }
  }
  if (parts.size === 0) return source;
  return {
    tensors,
    blocksOf: (name) => (parts.has(name) ? null : (source.blocksOf?.(name) ?? null)),
    readF32: async (name, target) => {
      const part = parts.get(name);
      if (!part) return source.readF32(name, target);
      const own = rowsOf(await source.readF32(part.stored), part);
      if (!target) return own.slice();
      target.set(own);
      return target;
    },
    readBF16: async (name, target) => {
      const part = parts.get(name);
      if (!part) return source.readBF16(name, target);
      const own = rowsOf(await source.readBF16(part.stored), part);
      if (!target) return own.slice();
      target.set(own);
      return target;
    },
    close: () => source.close(),
  };
}

const rowsOf = <T extends Float32Array | Uint16Array>(whole: T, { index, size }: Part): T =>
  whole.subarray(index * size, (index + 1) * size) as T;
