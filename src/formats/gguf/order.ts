import type { Spec } from '../architecture/spec';
import { elementsOf } from '../tensorInfo';
import type { GgufStorage } from './family';

/** What the order of rows depends on in a model. */
export interface HeadLayout {
  readonly head_dim: number;
  /** Of linear attention. Not given: the model has none. */
  readonly values?: ValueHeads;
}

/** As many value heads for each key head. */
export interface ValueHeads {
  readonly key_heads: number;
  readonly value_heads: number;
  readonly value_dim: number;
}

/** What the order of a tensor's rows depends on. */
export interface RowLayout extends HeadLayout {
  /** The tensor's shape in the checkpoint. */
  readonly shape: readonly number[];
}

/** The layout of a model's heads. */
export function headLayoutOf({ layers }: Pick<Spec, 'layers'>): HeadLayout {
  const delta = layers.find(({ attention }) => attention.delta)?.attention.delta;
  const { head_dim } = layers[0]!.attention;
  if (!delta) return { head_dim };
  const { key_heads, value_heads, value_dim } = delta;
  return { head_dim, values: { key_heads, value_heads, value_dim } };
}

/** Whether so many rows (of `value_columns`: columns) can be those of the heads. */
export function areOfHeads(
  count: number,
  storage: GgufStorage,
  { head_dim, values }: HeadLayout,
): boolean {
  switch (storage) {
    case 'rotary':
      return count % head_dim === 0;
    case 'by_part':
      return count % (3 * head_dim) === 0;
    case 'value_heads':
    case 'value_columns':
    case 'value_channels':
      return values !== undefined && count >= values.value_heads * values.value_dim;
    case 'value_numbers':
    case 'decays':
      return values !== undefined && count >= values.value_heads;
    default:
      return true;
  }
}

/** The data of a GGUF file's tensor as the checkpoint stores it; written to `target`. */
export function toCheckpointOrder(
  data: Float32Array,
  storage: GgufStorage,
  layout: RowLayout,
  target: Float32Array = new Float32Array(elementsOf(layout.shape)),
): Float32Array {
  const { shape } = layout;
  switch (storage) {
    case 'plain':
    case 'squeezed':
      target.set(data);
      break;
    case 'after_padding':
      target.fill(0).set(data, target.length - data.length);
      break;
    case 'plus_one':
      data.forEach((x, i) => (target[i] = x - 1));
      break;
    case 'transposed':
      transpose(data, target, shape[0]!);
      break;
    case 'value_columns': {
      const columnOf = checkpointRow('value_heads', { ...layout, shape: [shape[1]!] });
      moveColumns(data, target, shape[1]!, columnOf);
      break;
    }
    case 'decays':
      moveRows(data, target, shape[0]!, checkpointRow('value_numbers', layout));
      target.forEach((x, i) => (target[i] = Math.log(-x)));
      break;
    default:
      moveRows(data, target, shape[0]!, checkpointRow(storage, layout));
  }
  return target;
}

/**
 * The data of a checkpoint's tensor as a GGUF file stores it; `data` itself when that is the same.
 */
export function toGgufOrder(
  data: Float32Array,
  storage: GgufStorage,
  layout: RowLayout,
): Float32Array {
  const { shape } = layout;
  const target = () => new Float32Array(data.length);
  switch (storage) {
    case 'plain':
    case 'squeezed':
      return data;
    case 'after_padding':
      return data.subarray(PADDING_ROWS * (data.length / shape[0]!));
    case 'plus_one':
      return data.map((x) => x + 1);
    case 'transposed': {
      const result = target();
      transpose(data, result, shape[1]!);
      return result;
    }
    case 'value_columns': {
      const columnOf = storedRowOf('value_heads', { ...layout, shape: [shape[1]!] });
      const result = target();
      moveColumns(data, result, shape[1]!, columnOf);
      return result;
    }
    case 'decays':
      return takeRows(data, shape[0]!, checkpointRow('value_numbers', layout)).map(
        (x) => -Math.exp(x),
      );
    default:
      return takeRows(data, shape[0]!, checkpointRow(storage, layout));
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

/** Column i of the data becomes column `columnOf(i)` of the target. */
function moveColumns(
  data: Float32Array,
  target: Float32Array,
  width: number,
  columnOf: (column: number) => number,
): void {
  const places = Int32Array.from({ length: width }, (_, column) => columnOf(column));
  for (let row = 0; row < data.length; row += width)
    for (let i = 0; i < width; i++) target[row + places[i]!] = data[row + i]!;
}

/** Rows of a checkpoint that `after_padding` leaves out. */
export const PADDING_ROWS = 2;

/** Storage that keeps rows whole. */
export type RowStorage =
  'plain' | 'rotary' | 'by_part' | 'value_heads' | 'value_numbers' | 'value_channels';

const ROW_STORAGE: ReadonlySet<GgufStorage> = new Set<RowStorage>([
  'plain',
  'rotary',
  'by_part',
  'value_heads',
  'value_numbers',
  'value_channels',
]);

/** Whether a file with this storage has the rows of the checkpoint, perhaps in another order. */
export const keepsRows = (storage: GgufStorage): storage is RowStorage => ROW_STORAGE.has(storage);

/** The GGUF row of a checkpoint's row. */
export function storedRowOf(storage: RowStorage, layout: RowLayout): (row: number) => number {
  const { shape, head_dim } = layout;
  switch (storage) {
    case 'plain':
      return (row) => row;
    case 'rotary':
      return (row) => {
        const inHead = row % head_dim;
        const half = head_dim / 2;
        return row - inHead + 2 * (inHead % half) + Math.floor(inHead / half);
      };
    case 'by_part':
      return (row) => {
        const part = Math.floor(row / head_dim) % 3;
        const head = Math.floor(row / (3 * head_dim));
        return (part * shape[0]!) / 3 + head * head_dim + (row % head_dim);
      };
    default: {
      const { key_heads, value_heads } = valuesOf(layout);
      return byHead(storage, layout, (head) => {
        const ofKey = value_heads / key_heads;
        return (head % ofKey) * key_heads + Math.floor(head / ofKey);
      });
    }
  }
}

/** The checkpoint's row of a GGUF row. */
function checkpointRow(storage: RowStorage, layout: RowLayout): (row: number) => number {
  const { shape, head_dim } = layout;
  switch (storage) {
    case 'plain':
      return (row) => row;
    case 'rotary':
      return (row) => rotaryRow(row, head_dim);
    case 'by_part':
      return (row) => headRow(row, shape[0]! / 3, head_dim);
    default: {
      const { key_heads, value_heads } = valuesOf(layout);
      return byHead(
        storage,
        layout,
        (head) => (head % key_heads) * (value_heads / key_heads) + Math.floor(head / key_heads),
      );
    }
  }
}

function valuesOf({ values }: RowLayout): ValueHeads {
  if (values) return values;
  throw new RangeError('The layers have no value heads');
}

/** The value heads' rows are the last ones of a tensor; those before them stay. */
function byHead(
  storage: 'value_heads' | 'value_numbers' | 'value_channels',
  layout: RowLayout,
  headOf: (head: number) => number,
): (row: number) => number {
  const { value_heads, value_dim } = valuesOf(layout);
  const size = storage === 'value_numbers' ? 1 : value_dim;
  const first = layout.shape[0]! - value_heads * size;
  return (row) => {
    if (row < first) return row;
    const own = row - first;
    return first + headOf(Math.floor(own / size)) * size + (own % size);
  };
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
