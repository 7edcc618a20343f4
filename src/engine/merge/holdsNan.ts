import type { DType } from '../../formats/tensorInfo';

/** Whether one of a tensor's stored numbers is NaN; false for integers and quantized blocks. */
export function holdsNan(bytes: Uint8Array, dtype: DType): boolean {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case 'F16':
      return hasNan16(new Uint16Array(buffer, byteOffset, byteLength / 2), 0x7c00);
    case 'BF16':
      return hasNan16(new Uint16Array(buffer, byteOffset, byteLength / 2), 0x7f80);
    case 'F32':
      return hasNan(new Float32Array(buffer, byteOffset, byteLength / 4));
    case 'F64':
      return hasNan(new Float64Array(buffer, byteOffset, byteLength / 8));
    default:
      return false;
  }
}

/** `infinity`: the bits of infinity, above which those of NaN are. */
function hasNan16(bits: Uint16Array, infinity: number): boolean {
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & 0x7fff) > infinity) {
      return true;
    }
  }
  return false;
}

function hasNan(values: Float32Array | Float64Array): boolean {
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i]!)) {
      return true;
    }
  }
  return false;
}
