import { fromF16, toF16 } from '../floats';
import { roundTo, typeNumber, type QuantizedMatrix, type Rounding, type RowForm } from './matrix';

/** Values that the kernels compute together. */
const UNIT = 32;
/** 1 / 127 as bitsandbytes has it. */
export const INT8_FACTOR = Math.fround(7.874015718698502e-3);

/** A matrix of 8-bit integers with a scale for each row, or for each group of a row. */
export interface IntegerStorage {
  readonly shape: readonly [rows: number, width: number];
  readonly data: Int8Array;
  readonly scales: Float32Array; // [rows, width / group]
  readonly group: number;
  /** Each value is (integer · scale) · factor. */
  readonly factor: number;
  readonly rounding: Rounding;
}

type IntegerForm = Pick<IntegerStorage, 'shape' | 'group' | 'rounding'>;

/** Null for rows and groups that the kernels cannot read. */
export function integerForm({ shape, group, rounding }: IntegerForm): RowForm | null {
  const [, width] = shape;
  if (width % UNIT !== 0) return null;
  if (group === width) return { type: typeNumber('int8_rows', rounding), row_bytes: 8 + width };
  const exponent = Math.log2(group);
  if (group < UNIT || !Number.isInteger(exponent)) return null;
  const type = typeNumber('int8_groups', rounding, exponent);
  return { type, row_bytes: 4 * (width / group) + width };
}

/** Groups have a factor of 1. */
export class IntegerMatrix implements QuantizedMatrix {
  constructor(readonly storage: IntegerStorage) {}

  values(target?: Float32Array): Float32Array {
    const { data, scales, group, factor, rounding } = this.storage;
    const values = target ?? new Float32Array(data.length);
    for (let i = 0; i < data.length; i++)
      values[i] = Math.fround(data[i]! * scales[Math.floor(i / group)]!) * factor;
    return roundTo(rounding, values);
  }

  scales(): Float32Array {
    return this.storage.scales;
  }

  writeRow(row: number, bytes: Uint8Array): void {
    const { shape, data, scales, group, factor } = this.storage;
    const [, width] = shape;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const own = scales.subarray((row * width) / group, ((row + 1) * width) / group);
    const header = group === width ? [own[0]!, factor] : [...own];
    header.forEach((value, i) => view.setFloat32(4 * i, value, true));
    const integers = data.subarray(row * width, (row + 1) * width);
    bytes.set(new Uint8Array(integers.buffer, integers.byteOffset, width), 4 * header.length);
  }
}

/** Integers whose scales belong to groups of columns that do not follow each other. */
export class GatheredMatrix implements QuantizedMatrix {
  constructor(
    private readonly storage: Pick<IntegerStorage, 'shape' | 'data' | 'scales' | 'rounding'> & {
      /** The group of each column. */
      readonly order: Int32Array; // [width]
    },
  ) {}

  values(target?: Float32Array): Float32Array {
    const { shape, data, scales, order, rounding } = this.storage;
    const [rows, width] = shape;
    const groups = scales.length / rows;
    const values = target ?? new Float32Array(data.length);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < width; i++)
        values[row * width + i] = data[row * width + i]! * scales[row * groups + order[i]!]!;
    return roundTo(rounding, values);
  }

  scales(): Float32Array {
    return this.storage.scales;
  }

  /** The kernels have no form of such rows. */
  writeRow(): never {
    throw new RangeError('The kernels do not read groups of columns that are not neighbours.');
  }
}

/** Rounds numbers of up to 2²² to the nearest integer, halves to even. */
const ROUNDER = 12_582_912;

/**
 * LLM.int8's storage of weights (int8_vectorwise_quant of bitsandbytes): each row by its largest
 * absolute value, of the numbers in f16. A scale is infinite where f16 does not hold one of them.
 */
export function quantizeInt8(
  values: Float32Array,
  shape: readonly [rows: number, width: number],
  rounding: Rounding = 'F32',
): IntegerMatrix {
  const [rows, width] = shape;
  const halves = fromF16(toF16(values));
  const data = new Int8Array(values.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const own = halves.subarray(row * width, (row + 1) * width);
    const most = own.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    scales[row] = most;
    if (most === 0) continue;
    const factor = Math.fround(127 * Math.fround(1 / most)); // PyTorch's 127 / most
    for (let i = 0; i < width; i++)
      data[row * width + i] = Math.fround(Math.fround(own[i]! * factor) + ROUNDER) - ROUNDER;
  }
  return new IntegerMatrix({ shape, data, scales, group: width, factor: INT8_FACTOR, rounding });
}
