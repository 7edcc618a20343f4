import { LoraError } from '../../shared/errors';
import { canDequantise, DEQUANTISED } from './dequantise';
import type { DType, TensorInfo } from '../tensorInfo';
import { countOf } from '../../shared/values';

/** A tensor and where its data is: bytes `start` to `end` (exclusive) of the file. */
export interface GgufTensor extends TensorInfo {
  readonly start: number;
  readonly end: number;
}

/** A value of the metadata; 64-bit integers are bigints. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** The metadata of a file; a value is made when it is asked for. A Map is one too. */
export interface GgufMetadata extends Iterable<readonly [string, GgufValue]> {
  readonly size: number;
  has(key: string): boolean;
  get(key: string): GgufValue | undefined;
  keys(): Iterable<string>;
}

/** The first elements of an array, or another value. */
export interface GgufPreview {
  readonly key: string;
  readonly value: GgufValue;
  /** How many elements the array has. */
  readonly total: number;
}

/** A parsed and checked header. */
export interface GgufHeader {
  readonly metadata: GgufMetadata;
  /** All values, of arrays no more than `most` elements. */
  readonly previews: (most: number) => Iterable<GgufPreview>;
  /** Where each value is in the file, from the number of its type on. */
  readonly entries: ReadonlyMap<string, { readonly start: number; readonly end: number }>;
  /** Each tensor starts at a multiple of it, counted from the start of the data. */
  readonly alignment: number;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** gguf_metadata_value_type */
export const VALUE_TYPES = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

/** By ggml_type (ggml.h): name, elements of a block, bytes of a block. */
const TYPES: Readonly<Record<number, readonly [DType, number, number]>> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  2: ['Q4_0', 32, 18],
  3: ['Q4_1', 32, 20],
  6: ['Q5_0', 32, 22],
  7: ['Q5_1', 32, 24],
  8: ['Q8_0', 32, 34],
  10: ['Q2_K', 256, 84],
  11: ['Q3_K', 256, 110],
  20: ['IQ4_NL', 32, 18],
  23: ['IQ4_XS', 256, 136],
  12: ['Q4_K', 256, 144],
  13: ['Q5_K', 256, 176],
  14: ['Q6_K', 256, 210],
  24: ['I8', 1, 1],
  25: ['I16', 1, 2],
  26: ['I32', 1, 4],
  27: ['I64', 1, 8],
  28: ['F64', 1, 8],
  30: ['BF16', 1, 2],
  // those whose values are not read
  9: ['Q8_1', 32, 36],
  15: ['Q8_K', 256, 292],
  16: ['IQ2_XXS', 256, 66],
  17: ['IQ2_XS', 256, 74],
  18: ['IQ3_XXS', 256, 98],
  19: ['IQ1_S', 256, 50],
  21: ['IQ3_S', 256, 110],
  22: ['IQ2_S', 256, 82],
  29: ['IQ1_M', 256, 56],
  34: ['TQ1_0', 256, 54],
  35: ['TQ2_0', 256, 66],
  39: ['MXFP4', 32, 17],
  40: ['NVFP4', 64, 36],
  41: ['Q1_0', 128, 18],
};

/** By dtype: the number of its ggml_type, elements of a block, bytes of a block. */
export const GGUF_TYPES: ReadonlyMap<
  string,
  { readonly type: number; readonly block: number; readonly bytes: number }
> = new Map(
  Object.entries(TYPES).map(([type, [name, block, bytes]]) => [
    name,
    { type: Number(type), block, bytes },
  ]),
);

/** Thrown when the bytes passed to `parseGgufHeader` end within the header. */
export class MoreBytesNeeded extends Error {}

/** Far above what any model has, but low enough that a forged header cannot fill the memory. */
const MAX_STRING = 1 << 24;
const MAX_COUNT = 1 << 22;
const MAX_TENSORS = 1 << 17;
const MAX_VALUES = 1 << 14;
const MAX_KEY = 1 << 16;
/** Arrays inside other arrays, in the whole file. Models have none. */
const MAX_INNER_ARRAYS = 1 << 12;
/** Strings in arrays, in the whole file. */
const MAX_STRINGS = 1 << 22;
/** How deep arrays may be nested. */
const MAX_DEPTH = 3;
const MAX_RANK = 4;
const MAX_DIMENSION = 2 ** 40;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 20;
/** The largest header in bytes: the vocabulary and merges of the largest models take 13 MB. */
export const MAX_GGUF_HEADER = 1 << 25;

/** The first `most` elements of arrays, which are in `depth` others. */
interface Part {
  readonly depth: number;
  readonly most: number;
}

const WHOLE: Part = { depth: 0, most: MAX_COUNT };

/** Reads the fields of a header in sequence; every length is checked against the file's size. */
class Cursor {
  private at = 0;
  private strings = 0;
  private innerArrays = 0;
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly fileSize: number,
    private readonly file: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A cursor at another place of the same bytes. */
  seek(position: number): Cursor {
    const cursor = new Cursor(this.bytes, this.fileSize, this.file);
    cursor.at = position;
    return cursor;
  }

  get position(): number {
    return this.at;
  }

  private take(count: number): number {
    const start = this.at;
    if (start + count > this.fileSize)
      throw damaged(
        this.file,
        `its header continues beyond the end of the file (${countOf(this.fileSize, 'byte')})`,
      );
    if (start + count > this.bytes.length) throw new MoreBytesNeeded();
    this.at += count;
    return start;
  }

  u32 = () => this.view.getUint32(this.take(4), true);
  u64 = () => this.view.getBigUint64(this.take(8), true);

  /** A count or length. */
  size(limit: number, what: string): number {
    const value = this.u64();
    if (value > BigInt(limit)) throw damaged(this.file, `${what} is ${value.toString()}`);
    return Number(value);
  }

  string(limit = MAX_STRING): string {
    const length = this.size(limit, 'the length of a string');
    const start = this.take(length);
    return UTF8.decode(this.bytes.subarray(start, start + length));
  }

  /** A value, or a part of it; the cursor is not after it then. */
  value(type: number, part: Part = WHOLE): GgufValue {
    const { view } = this;
    switch (type) {
      case VALUE_TYPES.u8:
        return view.getUint8(this.take(1));
      case VALUE_TYPES.i8:
        return view.getInt8(this.take(1));
      case VALUE_TYPES.u16:
        return view.getUint16(this.take(2), true);
      case VALUE_TYPES.i16:
        return view.getInt16(this.take(2), true);
      case VALUE_TYPES.u32:
        return view.getUint32(this.take(4), true);
      case VALUE_TYPES.i32:
        return view.getInt32(this.take(4), true);
      case VALUE_TYPES.f32:
        return view.getFloat32(this.take(4), true);
      case VALUE_TYPES.bool:
        return view.getUint8(this.take(1)) !== 0;
      case VALUE_TYPES.string:
        return this.string();
      case VALUE_TYPES.array:
        return this.array(part);
      case VALUE_TYPES.u64:
        return view.getBigUint64(this.take(8), true);
      case VALUE_TYPES.i64:
        return view.getBigInt64(this.take(8), true);
      case VALUE_TYPES.f64:
        return view.getFloat64(this.take(8), true);
      default:
        throw damaged(this.file, `a value has the unknown type ${type}`);
    }
  }

  private array({ depth, most }: Part): GgufValue[] {
    const { type, count } = this.arrayStart(depth);
    const result: GgufValue[] = [];
    for (let i = 0; i < Math.min(count, most); i++)
      result.push(this.value(type, { depth: depth + 1, most }));
    return result;
  }

  arrayStart(depth: number): { readonly type: number; readonly count: number } {
    if (depth >= MAX_DEPTH) throw damaged(this.file, 'arrays are nested too deeply');
    const type = this.u32();
    const count = this.size(MAX_COUNT, 'the length of an array');
    if (count > this.fileSize - this.at)
      throw damaged(this.file, `an array claims to have ${count} elements`);
    return { type, count };
  }

  /** Checks a value and moves after it, without making anything of it. */
  skip(type: number, depth = 0): void {
    if (type === VALUE_TYPES.string) {
      this.take(this.size(MAX_STRING, 'the length of a string'));
      return;
    }
    if (type !== VALUE_TYPES.array) {
      this.take(this.widthOf(type));
      return;
    }
    const inner = this.arrayStart(depth);
    if (inner.type !== VALUE_TYPES.string && inner.type !== VALUE_TYPES.array) {
      this.take(inner.count * this.widthOf(inner.type));
      return;
    }
    if (inner.type === VALUE_TYPES.string) this.strings += inner.count;
    else this.innerArrays += inner.count;
    if (this.strings > MAX_STRINGS)
      throw damaged(this.file, `its arrays have more than ${MAX_STRINGS} strings`);
    if (this.innerArrays > MAX_INNER_ARRAYS)
      throw damaged(this.file, `its arrays have more than ${MAX_INNER_ARRAYS} arrays`);
    for (let i = 0; i < inner.count; i++) this.skip(inner.type, depth + 1);
  }

  private widthOf(type: number): number {
    const width = WIDTHS[type];
    if (width === undefined) throw damaged(this.file, `a value has the unknown type ${type}`);
    return width;
  }
}

/** Bytes of the values of a fixed size, by their types. */
const WIDTHS: Readonly<Record<number, number>> = {
  [VALUE_TYPES.u8]: 1,
  [VALUE_TYPES.i8]: 1,
  [VALUE_TYPES.bool]: 1,
  [VALUE_TYPES.u16]: 2,
  [VALUE_TYPES.i16]: 2,
  [VALUE_TYPES.u32]: 4,
  [VALUE_TYPES.i32]: 4,
  [VALUE_TYPES.f32]: 4,
  [VALUE_TYPES.u64]: 8,
  [VALUE_TYPES.i64]: 8,
  [VALUE_TYPES.f64]: 8,
};

/** Checked values, which are still bytes. */
class StoredMetadata implements GgufMetadata {
  constructor(
    private readonly entries: GgufHeader['entries'],
    private readonly cursor: Cursor,
  ) {}

  get size(): number {
    return this.entries.size;
  }

  has = (key: string) => this.entries.has(key);
  keys = () => this.entries.keys();

  get(key: string): GgufValue | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    const cursor = this.cursor.seek(entry.start);
    return cursor.value(cursor.u32());
  }

  *[Symbol.iterator](): Generator<readonly [string, GgufValue]> {
    for (const key of this.entries.keys()) yield [key, this.get(key)!];
  }

  *previews(most: number): Generator<GgufPreview> {
    for (const [key, { start }] of this.entries) {
      const cursor = this.cursor.seek(start);
      const type = cursor.u32();
      const total =
        type === VALUE_TYPES.array ? this.cursor.seek(start + 4).arrayStart(0).count : 1;
      yield { key, value: cursor.value(type, { depth: 0, most }), total };
    }
  }
}

/** "GGUF", little-endian. */
const MAGIC = 0x46554747;
/** Magic, version, and the numbers of tensors and of metadata values. */
const MIN_HEADER_BYTES = 24;
const UTF8 = new TextDecoder('utf-8');

/**
 * Parses the header of a file from its first bytes. Format: docs/gguf.md of ggml.
 *
 * @throws MoreBytesNeeded when the header continues after `bytes`; LoraError('base') when it is not
 *   the header of a valid GGUF file of `fileSize` bytes.
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number, file: string): GgufHeader {
  const cursor = new Cursor(bytes, fileSize, file);
  if (fileSize < MIN_HEADER_BYTES || cursor.u32() !== MAGIC)
    throw new LoraError('base', 'The file is not a GGUF file.', { place: { file } });
  checkVersion(cursor.u32(), file);
  const tensorCount = cursor.size(MAX_TENSORS, 'the number of tensors');
  const valueCount = cursor.size(MAX_VALUES, 'the number of values');
  const entries = new Map<string, { start: number; end: number }>();
  for (let i = 0; i < valueCount; i++) {
    const key = cursor.string(MAX_KEY);
    if (entries.has(key)) throw damaged(file, `the key ${key} occurs twice`);
    const start = cursor.position;
    cursor.skip(cursor.u32());
    entries.set(key, { start, end: cursor.position });
  }
  const metadata = new StoredMetadata(entries, cursor);
  const infos = Array.from({ length: tensorCount }, () => readInfo(cursor, file));
  const alignment = alignmentOf(metadata, file);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  return {
    metadata,
    previews: (most) => metadata.previews(most),
    entries,
    alignment,
    tensors: place(infos, dataStart, fileSize, file),
  };
}

function checkVersion(version: number, file: string): void {
  if (version >= 1 << 24)
    throw new LoraError('base', 'The GGUF file is for big-endian machines.', {
      place: { file },
      fix: 'Use the usual little-endian file.',
    });
  if (version !== 2 && version !== 3)
    throw new LoraError('base', `GGUF version ${version} is not supported, only 2 and 3.`, {
      place: { file },
    });
}

function alignmentOf(metadata: GgufHeader['metadata'], file: string): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (
    typeof alignment === 'number' &&
    Number.isSafeInteger(alignment) &&
    alignment >= 1 &&
    alignment <= MAX_ALIGNMENT
  )
    return alignment;
  throw damaged(file, `its alignment is ${String(alignment)}`);
}

type Info = TensorInfo & { readonly offset: number; readonly bytes: number };

function readInfo(cursor: Cursor, file: string): Info {
  const name = cursor.string(MAX_KEY);
  const rank = cursor.u32();
  if (rank > MAX_RANK) throw damaged(file, `the tensor ${name} has ${rank} dimensions`);
  const shape = Array.from({ length: rank }, () =>
    cursor.size(MAX_DIMENSION, `a dimension of ${name}`),
  ).reverse();
  const type = cursor.u32();
  const offset = cursor.size(Number.MAX_SAFE_INTEGER, `the offset of ${name}`);
  const known = TYPES[type];
  if (!known) {
    throw new LoraError('base', `Tensors of the unknown type ${type} cannot be read.`, {
      place: { file, tensor: name },
      fix: 'Use a file whose weights have another type.',
    });
  }
  const [dtype, block, size] = known;
  const elements = shape.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(elements) || (shape.at(-1) ?? 1) % block !== 0)
    throw damaged(
      file,
      `the tensor ${name} has shape [${shape.join(', ')}], which ${dtype} cannot hold`,
      canDequantise(dtype) ? undefined : `Use a file with one of: ${DEQUANTISED}.`,
    );
  return { name, dtype, shape, offset, bytes: (elements / block) * size };
}

function place(
  infos: readonly Info[],
  dataStart: number,
  fileSize: number,
  file: string,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const { name, dtype, shape, offset, bytes } of infos) {
    const start = dataStart + offset;
    if (start + bytes > fileSize) {
      throw new LoraError(
        'base',
        `The GGUF file is cut short: the tensor would end at byte ${start + bytes}, the file has ${fileSize}.`,
        { place: { file, tensor: name }, fix: 'Download it again.' },
      );
    }
    if (tensors.has(name)) throw damaged(file, `the tensor ${name} occurs twice`);
    tensors.set(name, { name, dtype, shape, start, end: start + bytes });
  }
  let end = dataStart;
  for (const tensor of [...tensors.values()].sort((a, b) => a.start - b.start)) {
    if (tensor.start < end)
      throw damaged(file, `the tensor ${tensor.name} shares bytes with another`);
    end = tensor.end;
  }
  return tensors;
}

function damaged(file: string, what: string, fix = 'Download it again.'): LoraError {
  return new LoraError('base', `The GGUF file is damaged: ${what}.`, {
    place: { file },
    fix,
  });
}
