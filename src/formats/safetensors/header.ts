import { LoraError, type ErrorArea } from '../../shared/errors';
import { isDeeperThan } from '../../shared/depth';
import { countOf, isObject } from '../../shared/values';
import type { DType, TensorInfo } from '../tensorInfo';

/** A tensor and where its data is: bytes `start` to `end` (exclusive) of the file. */
export interface StoredTensor extends TensorInfo {
  readonly start: number;
  readonly end: number;
}

/** A parsed and checked header. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The file that a header was read from, for checks and messages. */
export interface HeaderSource {
  readonly file: string;
  readonly size: number;
  readonly area: ErrorArea;
}

/** The largest header in bytes: those of models have less than one megabyte. */
export const MAX_HEADER = 1 << 25;
const MAX_TENSORS = 1 << 18;
/** Characters of a faulty value in a message. */
const SHOWN = 80;

/** Bytes of an element, in the order in which the safetensors library writes the dtypes. */
export const SAFETENSORS_BYTES: ReadonlyMap<string, number> = new Map<DType, number>([
  ['U64', 8],
  ['I64', 8],
  ['F64', 8],
  ['F32', 4],
  ['U32', 4],
  ['I32', 4],
  ['BF16', 2],
  ['F16', 2],
  ['U16', 2],
  ['I16', 2],
  ['F8_E4M3', 1],
  ['F8_E5M2', 1],
  ['I8', 1],
  ['U8', 1],
  ['BOOL', 1],
  // those whose values are not read
  ['C64', 8],
  ['F8_E8M0', 1],
  ['F8_E4M3FNUZ', 1],
  ['F8_E5M2FNUZ', 1],
]);

/** Those of elements smaller than a byte. */
const PARTS_OF_BYTES: ReadonlyMap<string, number> = new Map<DType, number>([
  ['F6_E2M3', 0.75],
  ['F6_E3M2', 0.75],
  ['F4', 0.5],
]);

/** All dtypes, in the order in which tensors are written. */
export const SAFETENSORS_DTYPES: readonly string[] = [
  ...SAFETENSORS_BYTES.keys(),
  ...PARTS_OF_BYTES.keys(),
];

/** Bytes of an element, perhaps a part of one; undefined: the format lacks the dtype. */
export const elementBytes = (dtype: string): number | undefined =>
  SAFETENSORS_BYTES.get(dtype) ?? PARTS_OF_BYTES.get(dtype);

/**
 * The header's length in bytes, from the first 8 bytes of the file. Format: README of safetensors.
 *
 * @throws LoraError when the header would be larger than the limit or the file.
 */
export function headerLength(prefix: Uint8Array, source: HeaderSource): number {
  const { size } = source;
  if (size < 8) throw damaged(source, `it has ${countOf(size, 'byte')}, fewer than a header`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (8 + Number(length) > size)
    throw damaged(
      source,
      `its header claims ${length.toString()} ${length === 1n ? 'byte' : 'bytes'}, but the file has only ${size}`,
    );
  if (length > BigInt(MAX_HEADER))
    throw new LoraError(
      source.area,
      `The safetensors file's header has ${length.toString()} bytes; at most ${MAX_HEADER} are read.`,
      {
        place: { file: source.file },
        fix: 'Download or copy the file again, or split it into several.',
      },
    );
  return Number(length);
}

/**
 * Parses a header. `dataStart`: the header's end in the file, which data_offsets count from.
 *
 * @throws LoraError when it is not valid: unknown dtypes, shapes that don't match the data, or data
 *   that overlaps, leaves gaps, or doesn't end where the file ends.
 */
export function parseHeader(
  text: string,
  dataStart: number,
  source: HeaderSource,
): SafetensorsHeader {
  const header = parseObject(text, source);
  checkNames(text, source);
  const { __metadata__: metadata = {}, ...entries } = header;
  const stored = Object.entries(entries);
  if (stored.length > MAX_TENSORS)
    throw damaged(source, `its header has ${stored.length} tensors, more than ${MAX_TENSORS}`);
  const tensors = stored.map(([name, value]) => storedTensor(name, value, dataStart, source));
  checkLayout(tensors, dataStart, source);
  return {
    tensors: new Map(tensors.map((t) => [t.name, t])),
    metadata: stringsOf(metadata, source),
  };
}

function parseObject(text: string, source: HeaderSource): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(source, 'its header is not JSON', error);
  }
  if (!isObject(value)) throw damaged(source, 'its header is not a JSON object');
  if (isDeeperThan(value)) throw damaged(source, 'its header is nested too deeply');
  return value;
}

/** JSON.parse silently keeps the last of two equal keys, so the top-level keys are read again. */
function checkNames(text: string, source: HeaderSource): void {
  const seen = new Set<string>();
  for (const name of topLevelNames(text)) {
    if (seen.has(name)) throw damaged(source, `its header contains the tensor ${name} twice`);
    seen.add(name);
  }
  if (seen.has('__proto__')) throw damaged(source, 'a tensor is named __proto__');
}

/** The keys of the outermost object of valid JSON: strings after its brace or one of its commas. */
function* topLevelNames(text: string): Generator<string> {
  let depth = 0;
  let expectsName = false;
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '{':
      case '[':
        expectsName = ++depth === 1;
        break;
      case '}':
      case ']':
        depth--;
        break;
      case ',':
        expectsName = depth === 1;
        break;
      case '"': {
        const start = i;
        i = endOfString(text, i);
        if (expectsName) yield JSON.parse(text.slice(start, i + 1)) as string;
        expectsName = false;
        break;
      }
      default:
    }
  }
}

/** The index of the closing quote of the JSON string that starts at `i`. */
function endOfString(text: string, i: number): number {
  let end = i + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end;
}

function stringsOf(value: unknown, source: HeaderSource): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((v) => typeof v !== 'string'))
    throw damaged(source, 'its __metadata__ is not a map of strings');
  return value as Record<string, string>;
}

function storedTensor(
  name: string,
  value: unknown,
  dataStart: number,
  source: HeaderSource,
): StoredTensor {
  const bad = (what: string) =>
    new LoraError(source.area, `The safetensors file is damaged: ${what}.`, {
      place: { file: source.file, tensor: name },
      fix: FIX,
    });
  if (!isObject(value)) throw bad('its entry is not an object');
  const { dtype, shape, data_offsets } = value;
  const bytes = typeof dtype === 'string' ? elementBytes(dtype) : undefined;
  if (bytes === undefined) throw bad(`its dtype ${shown(dtype)} is unknown`);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw bad('its shape is not a list of sizes');
  if (!Array.isArray(data_offsets) || data_offsets.length !== 2 || !data_offsets.every(isSize))
    throw bad('its data_offsets are not two positions');
  const [start, end] = data_offsets.map((offset) => dataStart + offset) as [number, number];
  if (end < start || end > source.size)
    throw bad(`its data would be at bytes ${start} to ${end} of a file of ${source.size}`);
  const size = shape.reduce((a, b) => a * b, bytes);
  if (size !== end - start)
    throw bad(
      `shape [${shape.join(', ')}] of ${String(dtype)} needs ${countOf(size, 'byte')}, its data_offsets span ${end - start}`,
    );
  return { name, dtype: dtype as DType, shape, start, end };
}

const shown = (value: unknown) =>
  ((JSON.stringify(value) as string | undefined) ?? 'undefined').slice(0, SHOWN);

const isSize = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function checkLayout(
  tensors: readonly StoredTensor[],
  dataStart: number,
  source: HeaderSource,
): void {
  let at = dataStart;
  for (const tensor of [...tensors].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (tensor.start < at)
      throw damaged(source, `the tensor ${tensor.name} shares bytes with another`);
    if (tensor.start > at)
      throw damaged(source, `bytes ${at} to ${tensor.start} belong to no tensor`);
    at = tensor.end;
  }
  if (at !== source.size)
    throw damaged(source, `bytes ${at} to ${source.size} belong to no tensor`);
}

const FIX = 'Download or copy the file again.';

/** The error of a file whose header is not valid. */
export function damaged({ file, area }: HeaderSource, what: string, cause?: unknown): LoraError {
  return new LoraError(area, `The safetensors file is damaged: ${what}.`, {
    place: { file },
    fix: FIX,
    cause,
  });
}
