import { LoraError } from '../../shared/errors';
import type { DType, TensorInfo } from '../types';

/** A tensor's place: bytes start..end of the file. */
export interface StoredTensor extends TensorInfo {
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** As the safetensors library: larger headers are refused. */
export const MAX_HEADER = 100_000_000;

export const SAFETENSORS_BYTES: Partial<Readonly<Record<DType, number>>> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };

/** Checks the first 8 bytes against the file's size; gives the header's length. */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (fileSize < 8) throw damaged(file, `it has ${fileSize} bytes, fewer than a header`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER)) throw damaged(file, `its header claims ${length.toString()} bytes`);
  if (8 + Number(length) > fileSize) throw damaged(file, `its header claims ${length.toString()} bytes, but the file has only ${fileSize}`);
  return Number(length);
}

/** Parses and checks a header: dtypes and shapes known and fitting, offsets without hole or overlap from the header's end to the file's. */
export function parseHeader(text: string, dataStart: number, fileSize: number, file: string): SafetensorsHeader {
  const header = parseObject(text, file);
  refuseDuplicates(text, header, file);
  const metadata: Record<string, string> = {};
  const tensors: StoredTensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') Object.assign(metadata, stringsOf(value, file));
    else tensors.push(storedTensor(name, value, dataStart, fileSize, file));
  }
  checkLayout(tensors, dataStart, fileSize, file);
  return { tensors: new Map(tensors.map((t) => [t.name, t])), metadata };
}

function parseObject(text: string, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(file, 'its header is not JSON', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw damaged(file, 'its header is not a JSON object');
  return value as Record<string, unknown>;
}

/** JSON.parse keeps the last of two equal names in silence: count the names at the first level. */
function refuseDuplicates(text: string, header: Record<string, unknown>, file: string): void {
  const seen = new Set<string>();
  for (const name of topLevelNames(text)) {
    if (seen.has(name)) throw damaged(file, `its header names the tensor ${name} twice`);
    seen.add(name);
  }
  if (seen.has('__proto__') || Object.hasOwn(header, '__proto__')) throw damaged(file, 'a tensor is called __proto__');
}

/** The keys of the outermost object of valid JSON. */
function* topLevelNames(text: string): Generator<string> {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') depth--;
    else if (c === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      if (depth === 1 && /^\s*:/.test(text.slice(i + 1, i + 17))) yield JSON.parse(text.slice(start, i + 1)) as string;
    }
  }
}

function stringsOf(value: unknown, file: string): Record<string, string> {
  if (typeof value !== 'object' || value === null || Object.values(value).some((v) => typeof v !== 'string')) throw damaged(file, 'its __metadata__ is not a map of strings');
  return value as Record<string, string>;
}

function storedTensor(name: string, value: unknown, dataStart: number, fileSize: number, file: string): StoredTensor {
  const bad = (what: string) => new LoraError('adapter', `The safetensors file is damaged: ${what}.`, { place: { file, tensor: name }, fix: FIX });
  if (typeof value !== 'object' || value === null) throw bad('its entry is not an object');
  const { dtype, shape, data_offsets } = value as Record<string, unknown>;
  const bytes = typeof dtype === 'string' ? SAFETENSORS_BYTES[dtype as DType] : undefined;
  if (bytes === undefined) throw bad(`its dtype ${JSON.stringify(dtype)} is not known`);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw bad('its shape is not a list of sizes');
  if (!Array.isArray(data_offsets) || data_offsets.length !== 2 || !data_offsets.every(isSize)) throw bad('its data_offsets are not two positions');
  const [start, end] = data_offsets.map((offset) => dataStart + offset) as [number, number];
  if (end < start || end > fileSize) throw bad(`its data would lie at bytes ${start} to ${end}, beyond the file's ${fileSize}`);
  const size = shape.reduce((a, b) => a * b, bytes);
  if (size !== end - start) throw bad(`shape [${shape.join(', ')}] of ${String(dtype)} needs ${size} bytes, its data_offsets span ${end - start}`);
  return { name, dtype: dtype as DType, shape, start, end };
}

const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function checkLayout(tensors: readonly StoredTensor[], dataStart: number, fileSize: number, file: string): void {
  let at = dataStart;
  for (const tensor of [...tensors].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (tensor.start < at) throw damaged(file, `the tensor ${tensor.name} shares bytes with another`);
    if (tensor.start > at) throw damaged(file, `bytes ${at} to ${tensor.start} belong to no tensor`);
    at = tensor.end;
  }
  if (at !== fileSize) throw damaged(file, `bytes ${at} to ${fileSize} belong to no tensor`);
}

const FIX = 'Download or copy the file again.';

function damaged(file: string, what: string, cause?: unknown): LoraError {
  return new LoraError('adapter', `The safetensors file is damaged: ${what}.`, { place: { file }, fix: FIX, cause });
}
