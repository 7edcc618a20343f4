import { fromBF16, fromF16, toBF16, toF16 } from '../floats';
import type { DType } from '../tensorInfo';
import type { BlockTarget } from '../weightSource';

/** What the values of a quantized matrix are rounded to, whatever they are computed with. */
export type Rounding = 'F32' | 'BF16' | 'F16';

/** A matrix in memory as its numbers are stored. */
export interface QuantizedMatrix {
  /** Its values in f32, row-major, in `target` if that is given. */
  values(target?: Float32Array): Float32Array;
  /** The scales of its values in f32. */
  scales(): Float32Array;
  /** Writes a row as the kernels read it. */
  writeRow(row: number, bytes: Uint8Array): void;
}

/** How the kernels read rows: the number of the type, and the bytes of one. */
export interface RowForm {
  readonly type: number;
  readonly row_bytes: number;
}

/** A quantized matrix of a checkpoint, of which no number has been read. */
export interface QuantizedTensor {
  readonly dtype: DType;
  /** The path of the file with its integers. */
  readonly file: string;
  readonly shape: readonly [rows: number, width: number];
  /** Null: the kernels cannot read such rows. */
  readonly form: RowForm | null;
  /** @throws LoraError('base') naming file and tensor. */
  readonly load: () => Promise<QuantizedMatrix>;
}

/** The types of the kernels (BlockType in src/runtime/kernels/levels.h), beside those of ggml. */
export const BLOCK_TYPE = {
  nf4: 100,
  fp4: 101,
  nf4_nested: 102,
  fp4_nested: 103,
  int8_rows: 104,
  int8_groups: 105,
} as const;

const ROUNDINGS: readonly Rounding[] = ['F32', 'BF16', 'F16'];
const [ROUNDING_SHIFT, GROUP_SHIFT] = [8, 16];

/** The number of a type whose values are rounded; `group`: the logarithm of a group's length. */
export const typeNumber = (
  type: keyof typeof BLOCK_TYPE,
  rounding: Rounding,
  group: number = 0,
): number =>
  BLOCK_TYPE[type] | (ROUNDINGS.indexOf(rounding) << ROUNDING_SHIFT) | (group << GROUP_SHIFT);

/** Rounds in place. */
export function roundTo(rounding: Rounding, values: Float32Array): Float32Array {
  if (rounding === 'BF16') fromBF16(toBF16(values), values);
  if (rounding === 'F16') fromF16(toF16(values), values);
  return values;
}

/** Writes the rows of a matrix in an order; null: all of them, in theirs. */
export function writeRows(
  matrix: QuantizedMatrix,
  rows: number,
  { data, words, order }: BlockTarget,
): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const length = words * Int32Array.BYTES_PER_ELEMENT;
  for (let i = 0; i < (order?.length ?? rows); i++)
    matrix.writeRow(order ? order[i]! : i, bytes.subarray(i * length, (i + 1) * length));
}
