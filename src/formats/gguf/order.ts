import type { GgufStorage } from './family';

/** What the order of a tensor's rows depends on. */
export interface RowLayout {
  /** The tensor's shape in the checkpoint. */
  readonly shape: readonly number[];
  readonly head_dim: number;
}

/** The data of a GGUF file's tensor as the checkpoint stores it; written to `target`. */
export function toCheckpointOrder(
  data: Float32Array,
  storage: GgufStorage,
  { shape, head_dim }: RowLayout,
  target: Float32Array = new Float32Array(data.length),
): Float32Array {
  switch (storage) {
    case 'plain':
    case 'squeezed':
      target.set(data);
      break;
    case 'plus_one':
      data.forEach((x, i) => (target[i] = x - 1));
      break;
    case 'rotary':
      moveRows(data, target, shape[0]!, (row) => rotaryRow(row, head_dim));
      break;
    case 'by_part':
      moveRows(data, target, shape[0]!, (row) => headRow(row, shape[0]! / 3, head_dim));
      break;
    case 'transposed':
      transpose(data, target, shape[0]!);
      break;
  }
  return target;
}

/**
 * The data of a checkpoint's tensor as a GGUF file stores it; `data` itself when that is the same.
 */
export function toGgufOrder(
  data: Float32Array,
  storage: GgufStorage,
  { shape, head_dim }: RowLayout,
): Float32Array {
  switch (storage) {
    case 'plain':
    case 'squeezed':
      return data;
    case 'plus_one':
      return data.map((x) => x + 1);
    case 'rotary':
      return takeRows(data, shape[0]!, (row) => rotaryRow(row, head_dim));
    case 'by_part':
      return takeRows(data, shape[0]!, (row) => headRow(row, shape[0]! / 3, head_dim));
    case 'transposed': {
      const target = new Float32Array(data.length);
      transpose(data, target, shape[1]!);
      return target;
    }
  }
}

/** Row i of the result is row `rowOf(i)` of the data. */
function takeRows(data: Float32Array, rows: number, rowOf: (row: number) => number): Float32Array {
  const width = data.length / rows;
  const target = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const at = rowOf(row) * width;
    target.set(data.subarray(at, at + width), row * width);
  }
  return target;
}

/** Row i of the data becomes row `rowOf(i)` of the target. */
function moveRows(
  data: Float32Array,
  target: Float32Array,
  rows: number,
  rowOf: (row: number) => number,
): void {
  const width = data.length / rows;
  for (let row = 0; row < rows; row++)
    target.set(data.subarray(row * width, (row + 1) * width), rowOf(row) * width);
}

/** The GGUF row of a checkpoint's row, where the file keeps rows whole. */
export function storedRow(
  row: number,
  storage: Exclude<GgufStorage, 'transposed' | 'plus_one' | 'squeezed'>,
  { shape, head_dim }: RowLayout,
): number {
  switch (storage) {
    case 'plain':
      return row;
    case 'rotary': {
      const inHead = row % head_dim;
      const half = head_dim / 2;
      return row - inHead + 2 * (inHead % half) + Math.floor(inHead / half);
    }
    case 'by_part': {
      const part = Math.floor(row / head_dim) % 3;
      const head = Math.floor(row / (3 * head_dim));
      return (part * shape[0]!) / 3 + head * head_dim + (row % head_dim);
    }
  }
}

/** The checkpoint's row of a GGUF row: 2i and 2i + 1 of a head are i and head_dim / 2 + i. */
function rotaryRow(row: number, head_dim: number): number {
  const inHead = row % head_dim;
  return row - inHead + (inHead % 2) * (head_dim / 2) + (inHead >> 1);
}

/** The checkpoint's row of a GGUF row: [3, heads, head_dim] -> [heads, 3, head_dim]. */
function headRow(row: number, part: number, head_dim: number): number {
  const inPart = row % part;
  return (
    (Math.floor(inPart / head_dim) * 3 + Math.floor(row / part)) * head_dim + (inPart % head_dim)
  );
}

/** [out, in] -> [in, out] */
function transpose(data: Float32Array, target: Float32Array, ins: number): void {
  const outs = data.length / ins;
  for (let out = 0; out < outs; out++)
    for (let i = 0; i < ins; i++) target[i * outs + out] = data[out * ins + i]!;
}
