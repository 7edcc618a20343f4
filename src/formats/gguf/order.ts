import type { GgufStorage } from './family';

export interface RowLayout {
  /** Of the tensor in the checkpoint. */
  readonly shape: readonly number[];
  readonly head_dim: number;
}

/** Numbers of a GGUF tensor as the checkpoint has them. */
export function restored(
  data: Float32Array,
  storage: GgufStorage,
  { shape, head_dim }: RowLayout,
  target: Float32Array = new Float32Array(data.length),
): Float32Array {
  switch (storage) {
    case 'plain':
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

/** Numbers of the checkpoint as a GGUF file has them; `shape`: the checkpoint's. */
export function stored(
  data: Float32Array,
  storage: GgufStorage,
  { shape, head_dim }: RowLayout,
): Float32Array {
  switch (storage) {
    case 'plain':
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

function takeRows(
  data: Float32Array,
  rows: number,
  placeOf: (row: number) => number,
): Float32Array {
  const width = data.length / rows;
  const target = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const at = placeOf(row) * width;
    target.set(data.subarray(at, at + width), row * width);
  }
  return target;
}

function moveRows(
  data: Float32Array,
  target: Float32Array,
  rows: number,
  placeOf: (row: number) => number,
): void {
  const width = data.length / rows;
  for (let row = 0; row < rows; row++)
    target.set(data.subarray(row * width, (row + 1) * width), placeOf(row) * width);
}

/**
 * llama.cpp stores the rows 2i and 2i + 1 of a head where the checkpoint has i and head_dim / 2 +
 * i.
 */
function rotaryRow(row: number, head_dim: number): number {
  const inHead = row % head_dim;
  return row - inHead + (inHead % 2) * (head_dim / 2) + (inHead >> 1);
}

/** [3, heads, head_dim] -> [heads, 3, head_dim] */
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
