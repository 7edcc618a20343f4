import { LoraError } from '../../shared/errors';
import type { BlockTarget, StoredMatrix } from '../weightSource';
import type { GgufStorage } from './family';
import { GGUF_TYPES, type GgufTensor } from './header';
import { keepsRows, storedRowOf, type RowLayout } from './order';
import type { GgufSource } from './read';

/**
 * Where in a block of each type the half-precision scales are (ggml-common.h), or the exponents of
 * powers of two.
 */
const SCALES: Readonly<Record<string, readonly number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ4_NL: [0],
  IQ4_XS: [0],
  MXFP4: [0],
};

/** Bytes that are read at once, of a row at least. */
const READ_BYTES = 1 << 22;

/**
 * What was read into and can be again: a new buffer for each matrix would leave the memory of many
 * behind until garbage is collected.
 */
const spare: Uint8Array<ArrayBuffer>[] = [];

/** A matrix that is a tensor or some rows of one, and how its rows are ordered in the file. */
interface OrderedTensor {
  readonly tensor: GgufTensor;
  /** The first of its rows. */
  readonly first: number;
  readonly storage: GgufStorage;
  /** Of the checkpoint. */
  readonly layout: RowLayout;
}

/** The blocks of a matrix of a GGUF file; null for types without kernels, and for other orders. */
export function blocksOfTensor(source: GgufSource, ordered: OrderedTensor): StoredMatrix | null {
  const { tensor, first: start, storage, layout } = ordered;
  const scales = SCALES[tensor.dtype];
  const form = GGUF_TYPES.get(tensor.dtype);
  const [rows, width] = layout.shape;
  if (!scales || !form || rows === undefined || width === undefined || layout.shape.length !== 2)
    return null;
  if (width % form.block !== 0) return null;
  const move = blockMove(storage, layout, form);
  if (!move) return null;
  const row_bytes = (width / form.block) * form.bytes;
  const read = async (target: BlockTarget) => {
    const places = placesOf(rows, target.order, move.rowOf);
    const rowsAtOnce = Math.max(1, Math.floor(READ_BYTES / row_bytes));
    const buffer = row_bytes > READ_BYTES ? undefined : (spare.pop() ?? new Uint8Array(READ_BYTES));
    for (let first = 0; first < rows; first += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - first);
      const from = (start + first) * row_bytes;
      const bytes = await source.readTensorBytes(tensor, from, count * row_bytes, buffer);
      requireFinite(
        bytes,
        { scales, bytes: form.bytes, isFinite: tensor.dtype === 'MXFP4' ? isSmallPower : isHalf },
        { file: source.file, tensor: tensor.name },
      );
      move.arrange(bytes, row_bytes);
      copyRows(bytes, target, { row_bytes, places: places.subarray(first, first + count) });
    }
    if (buffer && spare.length === 0) spare.push(buffer);
  };
  return { type: form.type, width, row_bytes, read };
}

/** How whole blocks get their places in the checkpoint's matrix. */
interface BlockMove {
  /** The file's row of a row of the matrix. */
  readonly rowOf: (row: number) => number;
  /** Puts the blocks of each row in the checkpoint's order. */
  readonly arrange: (bytes: Uint8Array, row_bytes: number) => void;
}

/** Null where the file's order divides rows or blocks. */
function blockMove(
  storage: GgufStorage,
  layout: RowLayout,
  { block, bytes }: { readonly block: number; readonly bytes: number },
): BlockMove | null {
  if (keepsRows(storage) && storage !== 'value_channels')
    return { rowOf: storedRowOf(storage, layout), arrange: () => undefined };
  if (storage !== 'value_columns' || !layout.values) return null;
  if (layout.values.value_dim % block !== 0) return null;
  const columnOf = storedRowOf('value_heads', { ...layout, shape: [layout.shape[1]!] });
  const places = Array.from(
    { length: layout.shape[1]! / block },
    (_, i) => columnOf(i * block) / block,
  );
  return { rowOf: (row) => row, arrange: (all, size) => arrangeBlocks(all, size, bytes, places) };
}

/** Block i of each row becomes the one that is at `places[i]`. */
function arrangeBlocks(
  all: Uint8Array,
  row_bytes: number,
  bytes: number,
  places: readonly number[],
): void {
  for (let row = 0; row < all.length; row += row_bytes) {
    const own = all.slice(row, row + row_bytes);
    for (const [i, place] of places.entries())
      all.set(own.subarray(place * bytes, (place + 1) * bytes), row + i * bytes);
  }
}

/**
 * A matrix whose rows are those of several matrices in turn; null where these are not of one type.
 */
export function rowsInTurn(parts: readonly (StoredMatrix | null)[]): StoredMatrix | null {
  const [first, ...others] = parts;
  if (!first || others.some((own) => own?.type !== first.type || own.width !== first.width))
    return null;
  const count = parts.length;
  const read = async ({ data, words, order }: BlockTarget, rows: number) => {
    const wanted = order ?? Int32Array.from({ length: rows }, (_, row) => row);
    for (const [turn, part] of parts.entries()) {
      const places = [...wanted.keys()].filter((i) => wanted[i]! % count === turn);
      const own = new Int32Array(places.length * words);
      await part!.read({
        data: own,
        words,
        order: Int32Array.from(places, (i) => Math.floor(wanted[i]! / count)),
      });
      for (const [i, place] of places.entries())
        data.set(own.subarray(i * words, (i + 1) * words), place * words);
    }
  };
  return { ...first, read: (target) => read(target, target.data.length / target.words) };
}

/** For each row of the file its row in the target, or -1. */
function placesOf(
  rows: number,
  order: Int32Array | null,
  storedRowOf: (row: number) => number,
): Int32Array {
  const places = new Int32Array(rows).fill(-1);
  const count = order?.length ?? rows;
  for (let i = 0; i < count; i++) places[storedRowOf(order ? order[i]! : i)] = i;
  return places;
}

function copyRows(
  from: Uint8Array,
  { data, words }: BlockTarget,
  { row_bytes, places }: { readonly row_bytes: number; readonly places: Int32Array },
): void {
  const to = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const row_length = words * Int32Array.BYTES_PER_ELEMENT;
  places.forEach((place, i) => {
    if (place < 0) return;
    to.set(from.subarray(i * row_bytes, (i + 1) * row_bytes), place * row_length);
  });
}

/** Whether a number that begins at `at` is finite. */
type IsFinite = (blocks: Uint8Array, at: number) => boolean;

/** The exponent of a half-precision number that is infinite or not a number. */
const NOT_FINITE = 0x7c;
const isHalf: IsFinite = (blocks, at) => (blocks[at + 1]! & NOT_FINITE) !== NOT_FINITE;

/** The largest exponent whose power times every step of MXFP4 is finite. */
const LARGEST_EXPONENT = 252;
const isSmallPower: IsFinite = (blocks, at) => blocks[at]! <= LARGEST_EXPONENT;

interface Scales {
  /** Where they are in a block. */
  readonly scales: readonly number[];
  /** Of a block. */
  readonly bytes: number;
  readonly isFinite: IsFinite;
}

/** Values are a scale times small integers: they are finite where the scales are. */
function requireFinite(
  blocks: Uint8Array,
  { scales, bytes, isFinite }: Scales,
  place: { readonly file: string; readonly tensor: string },
): void {
  for (let at = 0; at < blocks.length; at += bytes)
    for (const scale of scales)
      if (!isFinite(blocks, at + scale))
        throw new LoraError('base', 'The tensor of the base holds numbers that are not finite.', {
          place,
          fix: 'Download the base again, or use another one.',
        });
}
