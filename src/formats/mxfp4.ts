import { LoraError } from '../shared/errors';
import type { TensorInfo } from './tensorInfo';
import type { BlockTarget, PartSource, StoredMatrix } from './weightSource';

// MXFP4 (OCP Microscaling Formats 1.0) as gpt-oss's files have it: blocks of 32 numbers of 4 bits,
// [..., groups, 16] bytes with two neighbours in each, and scales [..., groups] as exponents of 2.
// ggml's blocks of the same numbers have the scale first, and numbers i and i + 16 in one byte.

/** Numbers of 4 bits: sign, exponent and mantissa of 1, 2 and 1 bits. */
const VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];
const GROUP = 32;
const GROUP_BYTES = GROUP / 2;
/** Of ggml's blocks, and their number. */
const BLOCK_BYTES = 1 + GROUP_BYTES;
const GGML_MXFP4 = 39;
const BIAS = 127;
/** The largest exponent whose power times every number is finite. */
const LARGEST_EXPONENT = 252;

const BLOCKS = /_blocks$/;
const SCALES = /_scales$/;

/** The name of a packed tensor, for that of its blocks; null for another tensor. */
export const packedName = (name: string): string | null =>
  BLOCKS.test(name) ? name.replace(BLOCKS, '') : null;

/** Whether a tensor has the scales of a packed one. */
export const isScaleOfPacked = (name: string): boolean => SCALES.test(name);

/** The names of packed tensors, each as one. */
export const unpackedNames = (names: Iterable<string>): string[] =>
  [...names].filter((name) => !SCALES.test(name)).map((name) => packedName(name) ?? name);

/** The number of the elements of a packed tensor. */
interface Packed {
  readonly name: string;
  readonly blocks: string;
  readonly scales: string;
  /** Rows of all experts, and numbers of each. */
  readonly rows: number;
  readonly width: number;
}

/**
 * The source with each pair of blocks and scales as one tensor [experts, rows, width].
 *
 * @throws LoraError('base') where the two do not match.
 */
export function unpacked(source: PartSource, file: string): PartSource {
  const packed = new Map<string, Packed>();
  const tensors = new Map<string, TensorInfo>();
  for (const [stored, info] of source.tensors) {
    if (SCALES.test(stored)) continue;
    if (!BLOCKS.test(stored)) {
      tensors.set(stored, info);
      continue;
    }
    const name = stored.replace(BLOCKS, '');
    const { shape, own } = describe(source, name, file);
    packed.set(name, own);
    tensors.set(name, { name, dtype: 'MXFP4', shape });
  }
  const readPart = async (name: string, from: number, count: number) => {
    const own = packed.get(name);
    return own ? dequantised(source, own, { from, count }) : source.readPart(name, from, count);
  };
  return {
    ...source,
    tensors,
    readPart,
    readF32: async (name, target) => {
      const own = packed.get(name);
      if (!own) return source.readF32(name, target);
      const all = await readPart(name, 0, own.rows * own.width);
      target?.set(all);
      return target ?? all;
    },
    blocksOf: (name) => {
      const own = packed.get(name);
      return own ? storedMatrix(source, own, file) : (source.blocksOf?.(name) ?? null);
    },
  };
}

function describe(
  source: PartSource,
  name: string,
  file: string,
): { readonly shape: readonly number[]; readonly own: Packed } {
  const [blocks, scales] = [`${name}_blocks`, `${name}_scales`];
  const of = source.tensors.get(blocks)!;
  const scaling = source.tensors.get(scales);
  const [experts = 0, rows = 0, groups = 0, bytes] = of.shape;
  const fits =
    bytes === GROUP_BYTES &&
    of.shape.length === 4 &&
    scaling?.shape.join() === [experts, rows, groups].join() &&
    of.dtype === 'U8' &&
    scaling.dtype === 'U8';
  if (!fits)
    throw new LoraError('base', 'The packed tensor and its scales do not belong together.', {
      place: { file, tensor: blocks },
      fix: 'Download the model again, all of its files.',
    });
  const width = groups * GROUP;
  return {
    shape: [experts, rows, width],
    own: { name, blocks, scales, rows: experts * rows, width },
  };
}

/** Whole groups of numbers. */
interface Range {
  readonly from: number;
  readonly count: number;
}

async function dequantised(
  source: PartSource,
  { blocks, scales }: Packed,
  { from, count }: Range,
): Promise<Float32Array> {
  const [bytes, exponents] = await Promise.all([
    source.readBytes(blocks, from / 2, count / 2),
    source.readBytes(scales, from / GROUP, count / GROUP),
  ]);
  const values = new Float32Array(count);
  for (const [group, exponent] of exponents.entries()) {
    const scale = 2 ** (exponent - BIAS);
    for (let i = 0; i < GROUP_BYTES; i++) {
      const byte = bytes[group * GROUP_BYTES + i]!;
      const at = group * GROUP + 2 * i;
      values[at] = VALUES[byte & 15]! * scale;
      values[at + 1] = VALUES[byte >> 4]! * scale;
    }
  }
  return values;
}

/** The rows of a packed tensor in ggml's blocks. */
function storedMatrix(source: PartSource, own: Packed, file: string): StoredMatrix {
  const { width, rows, scales } = own;
  return {
    type: GGML_MXFP4,
    width,
    row_bytes: (width / GROUP) * BLOCK_BYTES,
    read: async (target) => {
      const order = target.order ?? Int32Array.from({ length: rows }, (_, row) => row);
      const first = order.reduce((least, row) => Math.min(least, row), rows);
      const last = order.reduce((most, row) => Math.max(most, row), 0);
      const groups = width / GROUP;
      const count = (last - first + 1) * groups;
      const [bytes, exponents] = await Promise.all([
        source.readBytes(own.blocks, first * groups * GROUP_BYTES, count * GROUP_BYTES),
        source.readBytes(scales, first * groups, count),
      ]);
      if (exponents.some((own) => own > LARGEST_EXPONENT)) throw notFinite(file, scales);
      writeBlocks({ bytes, exponents, groups }, { ...target, order: order.map((r) => r - first) });
    },
  };
}

const notFinite = (file: string, tensor: string): LoraError =>
  new LoraError('base', 'The tensor of the base holds numbers that are not finite.', {
    place: { file, tensor },
    fix: 'Download the base again, or use another one.',
  });

interface PackedRows {
  readonly bytes: Uint8Array;
  readonly exponents: Uint8Array;
  readonly groups: number;
}

function writeBlocks(
  { bytes, exponents, groups }: PackedRows,
  { data, words, order }: BlockTarget & { readonly order: Int32Array },
): void {
  const out = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (const [i, row] of order.entries()) {
    for (let g = 0; g < groups; g++) {
      const group = row * groups + g;
      const to = 4 * i * words + g * BLOCK_BYTES;
      out[to] = exponents[group]!;
      writeGroup(bytes.subarray(group * GROUP_BYTES, (group + 1) * GROUP_BYTES), out, to + 1);
    }
  }
}

/** Neighbours in one byte become numbers i and i + 16. */
function writeGroup(from: Uint8Array, to: Uint8Array, at: number): void {
  const number = (i: number) => (from[i >> 1]! >> (4 * (i & 1))) & 15;
  for (let i = 0; i < GROUP_BYTES; i++) to[at + i] = number(i) | (number(i + GROUP_BYTES) << 4);
}
