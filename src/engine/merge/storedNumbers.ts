import { areFinite } from '../../formats/checkFinite';
import { fromBF16, fromF16, fromF8 } from '../../formats/floats';
import { canDequantise, dequantise } from '../../formats/gguf/dequantise';
import { GGUF_TYPES } from '../../formats/gguf/header';
import type { DType } from '../../formats/tensorInfo';

/** Elements that are widened at once: few enough for a processor's cache. */
const WIDENED = 1 << 14;

/**
 * The first of a tensor's stored numbers that is NaN or infinite; undefined where there is none,
 * and for integers. `bytes`: whole elements, or whole blocks of a quantized type.
 */
export function firstNotFinite(bytes: Uint8Array, dtype: DType): number | undefined {
  const size = bytesPerBlock(dtype);
  if (size === null) {
    return undefined;
  }
  const { block, bytes: blockBytes } = size;
  const step = Math.max(1, Math.floor(WIDENED / block)) * blockBytes;
  for (let from = 0; from < bytes.length; from += step) {
    const values = widened(bytes.slice(from, from + step), dtype, block / blockBytes);
    if (!areFinite(values)) {
      return values.find((value) => !Number.isFinite(value));
    }
  }
  return undefined;
}

interface BlockSize {
  /** Elements of a block. */
  readonly block: number;
  readonly bytes: number;
}

/** Null for types without fractions, and for those whose values are not read. */
function bytesPerBlock(dtype: DType): BlockSize | null {
  switch (dtype) {
    case 'F8_E4M3':
    case 'F8_E5M2':
      return { block: 1, bytes: 1 };
    case 'F16':
    case 'BF16':
    case 'F32':
    case 'F64':
      return GGUF_TYPES.get(dtype)!;
    default:
      return canDequantise(dtype) ? GGUF_TYPES.get(dtype)! : null;
  }
}

/** `bytes`: an array of its own. `density`: elements per byte. */
function widened(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: DType,
  density: number,
): Float32Array | Float64Array {
  const { buffer } = bytes;
  switch (dtype) {
    case 'F16':
      return fromF16(new Uint16Array(buffer));
    case 'BF16':
      return fromBF16(new Uint16Array(buffer));
    case 'F32':
      return new Float32Array(buffer);
    case 'F64':
      return new Float64Array(buffer);
    case 'F8_E4M3':
    case 'F8_E5M2':
      return fromF8(bytes, dtype);
    default: {
      const values = new Float32Array(bytes.length * density);
      dequantise(dtype, bytes, values);
      return values;
    }
  }
}
