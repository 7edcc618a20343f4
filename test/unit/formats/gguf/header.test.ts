import { describe, expect, it } from 'vitest';
import {
  GGUF_TYPES,
  MoreBytesNeeded,
  parseGgufHeader,
  VALUE_TYPES,
} from '../../../../src/formats/gguf/header';

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const string = (text: string) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);

/** A header with one metadata value `x`, and perhaps a tensor, padded to a multiple of 32. */
function headerOf(value: readonly Buffer[], tensor: readonly Buffer[] = [], version = 3): Buffer {
  const tensors = tensor.length > 0 ? 1 : 0;
  const start = [Buffer.from('GGUF'), u32(version), u64(tensors), u64(1), string('x')];
  const bytes = Buffer.concat([...start, ...value, ...tensor]);
  return Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);
}

const parse = (bytes: Buffer, size = bytes.length) => parseGgufHeader(bytes, size, 'a.gguf');
const ZERO = [u32(VALUE_TYPES.u8), Buffer.of(0)];

/** Arrays of one element within each other, around one byte. */
const nested = (depth: number) => [
  u32(depth === 0 ? VALUE_TYPES.u8 : VALUE_TYPES.array),
  ...Array.from({ length: depth }, (_, i) => [
    u32(i === depth - 1 ? VALUE_TYPES.u8 : VALUE_TYPES.array),
    u64(1),
  ]).flat(),
  Buffer.of(7),
];

describe('a value of the metadata', () => {
  it('may hold three arrays within each other, not four', () => {
    expect(parse(headerOf(nested(3))).metadata.get('x')).toEqual([[[7]]]);
    expect(() => parse(headerOf(nested(4)))).toThrow(/arrays are nested too deeply/);
  });

  it.each([
    ['u8', Buffer.of(200), 200],
    ['i8', Buffer.of(200), -56],
    ['u16', Buffer.of(1, 200), 51_201],
    ['i16', Buffer.of(1, 200), -14_335],
    ['u32', Buffer.of(1, 0, 0, 200), 3_355_443_201],
    ['i32', Buffer.of(1, 0, 0, 200), -939_524_095],
    ['f32', Buffer.from(Float32Array.of(0.75).buffer), 0.75],
    ['f64', Buffer.from(Float64Array.of(0.1).buffer), 0.1],
    ['u64', u64(2n ** 63n), 2n ** 63n],
    ['i64', u64(2n ** 63n), -(2n ** 63n)],
    ['bool', Buffer.of(0), false],
    ['bool', Buffer.of(2), true],
    ['string', string('né'), 'né'],
  ] as const)('of type %s is read little-endian (%s)', (type, bytes, expected) => {
    const { metadata, entries } = parse(headerOf([u32(VALUE_TYPES[type]), bytes]));
    expect(metadata.get('x')).toBe(expected);
    expect(entries.get('x')).toEqual({ start: 33, end: 37 + bytes.length });
  });

  it('of an unknown type is refused', () => {
    expect(() => parse(headerOf([u32(13), Buffer.alloc(8)]))).toThrow(/the unknown type 13/);
  });
});

describe('a tensor of the header', () => {
  const tensor = (shape: readonly number[], type: number, offset = 0) => [
    string('t'),
    u32(shape.length),
    ...shape.map(u64),
    u32(type),
    u64(offset),
  ];

  it.each([...GGUF_TYPES])('of type %s has its bytes, in whole blocks', (name, facts) => {
    const { type, block, bytes } = facts;
    const header = headerOf(ZERO, tensor([block, 3], type));
    const file = Buffer.concat([header, Buffer.alloc(3 * bytes)]);
    expect(parse(file).tensors.get('t')).toEqual({
      name: 't',
      dtype: name,
      shape: [3, block],
      start: header.length,
      end: header.length + 3 * bytes,
    });
    expect(() => parse(file.subarray(0, -1))).toThrow(/cut short/);
    if (block > 1)
      expect(() => parse(headerOf(ZERO, tensor([block / 2, 2], type)))).toThrow(/cannot hold/);
  });

  it('has at most four dimensions', () => {
    const file = (rank: number) =>
      Buffer.concat([headerOf(ZERO, tensor(Array(rank).fill(1), 0)), Buffer.alloc(4)]);
    expect(parse(file(4)).tensors.get('t')?.shape).toEqual([1, 1, 1, 1]);
    expect(() => parse(file(5))).toThrow(/has 5 dimensions/);
  });
});

describe('a header', () => {
  it('is of version 2 or 3', () => {
    for (const version of [2, 3]) expect(parse(headerOf(ZERO, [], version)).alignment).toBe(32);
    for (const version of [1, 4])
      expect(() => parse(headerOf(ZERO, [], version))).toThrow(`version ${version}`);
    expect(() => parse(headerOf(ZERO, [], 1 << 24))).toThrow(/big-endian/);
  });

  it('asks for more bytes where the file has them', () => {
    const bytes = headerOf(ZERO);
    expect(() => parse(bytes.subarray(0, 30), bytes.length)).toThrow(MoreBytesNeeded);
    expect(() => parse(bytes.subarray(0, 30))).toThrow(/continues beyond the end of the file/);
    expect(() => parse(bytes.subarray(0, 23))).toThrow(/not a GGUF file/);
  });
});
