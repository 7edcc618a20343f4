import { toF16 } from '../floats';

const BLOCK = 32;
const BYTES = 34;
const scale = new Float32Array(1);
const half = new Uint16Array(1);

/**
 * Quantises values to Q8_0: per block of 32, an f16 scale (the largest magnitude / 127) and 32
 * signed bytes, rounded half away from zero (quantize_row_q8_0_ref of ggml).
 *
 * @throws RangeError when the values are not whole blocks.
 */
export function toQ8_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  if (values.length % BLOCK !== 0)
    throw new RangeError(`${values.length} values are not whole blocks of ${BLOCK}`);
  const bytes = new Uint8Array((values.length / BLOCK) * BYTES);
  const quants = new Int8Array(bytes.buffer);
  for (let block = 0; block * BLOCK < values.length; block++) {
    const from = block * BLOCK;
    let largest = 0;
    for (let i = from; i < from + BLOCK; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scale[0] = largest / 127;
    const inverse = scale[0] === 0 ? 0 : Math.fround(1 / scale[0]);
    toF16(scale, half);
    bytes[block * BYTES] = half[0]! & 0xff;
    bytes[block * BYTES + 1] = half[0]! >> 8;
    for (let i = 0; i < BLOCK; i++)
      quants[block * BYTES + 2 + i] = awayFromZero(Math.fround(values[from + i]! * inverse));
  }
  return bytes;
}

const awayFromZero = (x: number) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
