import type { Adapter, AdapterDtype } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import { areFinite } from './checkFinite';
import { toBF16, toF16 } from './floats';
import type { TensorInfo } from './tensorInfo';
import type { TensorToWrite } from './tensorWriter';

/** The choices for the numbers of an adapter that is written; keep: as they were stored. */
export const ADAPTER_DTYPES = ['keep', 'float32', 'float16', 'bfloat16'] as const;
export type AdapterDtypeChoice = (typeof ADAPTER_DTYPES)[number];

const STORED = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;

/** The element type of an adapter's factors: that of all of them, else f32. */
export function commonDtype(tensors: Iterable<Pick<TensorInfo, 'name' | 'dtype'>>): AdapterDtype {
  const found = new Set([...tensors].filter(({ name }) => isFactor(name)).map((t) => t.dtype));
  const [only] = found;
  return found.size === 1 && (only === 'F16' || only === 'BF16') ? only : 'F32';
}

/** Names of factors in all formats: lora_A, lora_a, lora_down, hada_w1_a, lokr_w1. */
const isFactor = (name: string) =>
  /(?:^|[._])(?:lora|hada|lokr)[._]/i.test(name) && !name.endsWith('.alpha');

/** The element type in which an adapter made from others is written. */
export function dtypeToWrite(
  sources: readonly Adapter[],
  choice: AdapterDtypeChoice,
): AdapterDtype {
  if (choice !== 'keep') return STORED[choice];
  const [first, ...others] = new Set(sources.map(({ dtype = 'F32' }) => dtype));
  return first !== undefined && others.length === 0 ? first : 'F32';
}

/**
 * A tensor of an adapter that is written in the given element type, rounded to the nearest.
 *
 * @throws LoraError('adapter') when a number is not finite, or too large for it.
 */
export function adapterTensor(
  { name, shape, data }: { name: string; shape: readonly number[]; data: Float32Array },
  dtype: AdapterDtype,
): TensorToWrite {
  if (!areFinite(data))
    throw new LoraError('adapter', `${name} would have numbers that float32 cannot hold.`, {
      fix: 'Check the adapter and its scale.',
    });
  if (dtype === 'F32') return { name, dtype, shape, data };
  const bits = dtype === 'F16' ? toF16(data) : toBF16(data);
  const infinite = dtype === 'F16' ? 0x7c00 : 0x7f80;
  if (!bits.some((own) => (own & infinite) === infinite)) return { name, dtype, shape, data: bits };
  throw new LoraError('adapter', `${name} has numbers that are too large for ${dtype}.`, {
    fix: 'Write the adapter in float32 (--dtype).',
  });
}
