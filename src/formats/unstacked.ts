import { isOfExperts, partsOf, type StackedSpec } from './architecture/stackedNames';
import { toBF16 } from './floats';
import { elementsOf, type TensorInfo } from './tensorInfo';
import type { PartSource, StoredMatrix, WeightSource } from './weightSource';

interface Part {
  readonly stored: string;
  readonly index: number;
  readonly size: number;
  readonly rows: number;
}

/**
 * The source with tensors that hold the rows of several modules as one tensor of each module. A
 * checkpoint that has these already keeps them.
 */
export function unstacked(source: PartSource, spec: StackedSpec): WeightSource {
  const parts = new Map<string, Part>();
  const tensors = new Map<string, TensorInfo>();
  for (const [stored, info] of source.tensors) {
    const names = partsOf(stored, spec);
    const shape = names && partShape(info.shape, names.length, isOfExperts(stored, spec));
    if (!names || !shape || names.some((name) => source.tensors.has(name))) {
      tensors.set(stored, info);
      continue;
    }
    const [rows = 0] = shape;
    for (const [index, name] of names.entries()) {
      parts.set(name, { stored, index, size: elementsOf(shape), rows });
      tensors.set(name, { ...info, name, shape });
    }
  }
  return parts.size === 0 ? { ...source } : { tensors, ...readersOf(source, parts) };
}

/** The shape of each part; null where the tensor cannot be divided so. */
function partShape(
  shape: readonly number[],
  count: number,
  isStackOfExperts: boolean,
): readonly number[] | null {
  const [experts = 0, ...ofOne] = isStackOfExperts ? shape : [1, ...shape];
  const [rows = 0, ...rest] = ofOne;
  const share = count / experts;
  return Number.isInteger(share) && rows % share === 0 ? [rows / share, ...rest] : null;
}

function readersOf(
  source: PartSource,
  parts: ReadonlyMap<string, Part>,
): Omit<WeightSource, 'tensors'> {
  const read = ({ stored, index, size }: Part) => source.readPart(stored, index * size, size);
  return {
    readF32: async (name, target) => {
      const part = parts.get(name);
      if (!part) return source.readF32(name, target);
      const own = await read(part);
      if (!target) return own;
      target.set(own);
      return target;
    },
    readBF16: async (name, target) => {
      const part = parts.get(name);
      return part ? toBF16(await read(part), target) : source.readBF16(name, target);
    },
    blocksOf: (name) => {
      const part = parts.get(name);
      if (!part) return source.blocksOf?.(name) ?? null;
      const whole = source.blocksOf?.(part.stored) ?? null;
      return whole && blocksOfPart(whole, part);
    },
    close: () => source.close(),
  };
}

/** Some rows of a matrix in blocks. */
const blocksOfPart = (whole: StoredMatrix, { index, rows }: Part): StoredMatrix => ({
  ...whole,
  read: (target) => {
    const own = target.order ?? Int32Array.from({ length: rows }, (_, row) => row);
    return whole.read({ ...target, order: own.map((row) => index * rows + row) });
  },
});
