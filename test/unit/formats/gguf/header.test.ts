import { describe, expect, it } from 'vitest';
import {
  GGUF_TYPES,
  MoreBytesNeeded,
  parseGgufHeader,
  VALUE_TYPES,
} from '../../../../src/formats/gguf/header';
import { canDequantise } from '../../../../src/formats/gguf/dequantise';
import type { DType } from '../../../../src/formats/tensorInfo';
import { LoraError } from '../../../../src/shared/errors';
import { ggufBytes, type Value } from '../../../support/ggufWriter';

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

/** Nested arrays of one element each, around one byte. */
const nested = (depth: number) => [
  u32(depth === 0 ? VALUE_TYPES.u8 : VALUE_TYPES.array),
  ...Array.from({ length: depth }, (_, i) => [
    u32(i === depth - 1 ? VALUE_TYPES.u8 : VALUE_TYPES.array),
    u64(1),
  ]).flat(),
  Buffer.of(7),
];

function refusal(act: () => unknown): LoraError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(LoraError);
    return error as LoraError;
  }
  throw new Error('It was accepted.');
}

function expectDamaged(bytes: Buffer, what: string): void {
  expect(refusal(() => parse(bytes))).toMatchObject({
    area: 'base',
    message: `The GGUF file is damaged: ${what}.`,
    fix: 'Download it again.',
    place: { file: 'a.gguf' },
  });
}

/** `count` empty arrays in one array. */
const emptyArrays = (count: number) => {
  const one = Buffer.concat([u32(VALUE_TYPES.u8), u64(0)]);
  return [
    u32(VALUE_TYPES.array),
    u32(VALUE_TYPES.array),
    u64(count),
    Buffer.alloc(12 * count, one),
  ];
};
const emptyStrings = (count: number) => [
  u32(VALUE_TYPES.array),
  u32(VALUE_TYPES.string),
  u64(count),
  Buffer.alloc(8 * count),
];

describe('a metadata value', () => {
  it('may be no bomb of small arrays', () => {
    expect(parse(headerOf(emptyArrays(2 ** 12))).metadata.get('x')).toHaveLength(2 ** 12);
    expectDamaged(headerOf(emptyArrays(2 ** 12 + 1)), 'its arrays have more than 4096 arrays');
  });

  it('is not made before it is asked for, so that a header costs little', () => {
    const bytes = headerOf(emptyStrings(2 ** 21));
    const before = process.memoryUsage().heapUsed;
    const start = performance.now();
    const { metadata, previews } = parse(bytes);
    expect([...previews(2)]).toEqual([{ key: 'x', value: ['', ''], total: 2 ** 21 }]);
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50e6);
    expect(metadata.has('x')).toBe(true);
  });

  it('is previewed with the first elements of arrays', () => {
    const value = [u32(VALUE_TYPES.array), u32(VALUE_TYPES.u8), u64(3), Buffer.of(5, 6, 7)];
    const { previews } = parse(headerOf(value));
    expect([...previews(2)]).toEqual([{ key: 'x', value: [5, 6], total: 3 }]);
    expect([...parse(headerOf(ZERO)).previews(2)]).toEqual([{ key: 'x', value: 0, total: 1 }]);
  });

  it('may nest arrays three levels deep, not four', () => {
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

  it('has a string or array length within the file size', () => {
    const array = (length: number) => [u32(VALUE_TYPES.array), u32(VALUE_TYPES.u8), u64(length)];
    const all = Buffer.concat([headerOf(array(5)).subarray(0, 49), Buffer.of(1, 2, 3, 4, 5)]);
    expect(parse(all).metadata.get('x')).toEqual([1, 2, 3, 4, 5]);
    expectDamaged(headerOf(array(6)).subarray(0, 54), 'an array claims to have 6 elements');
    expectDamaged(headerOf(array(2 ** 22 + 1)), 'the length of an array is 4194305');
    expectDamaged(headerOf(array(2 ** 22)), 'an array claims to have 4194304 elements');
    const text = (length: number) => headerOf([u32(VALUE_TYPES.string), u64(length)]);
    expectDamaged(text(2 ** 24 + 1), 'the length of a string is 16777217');
    expectDamaged(text(2 ** 24), 'its header continues beyond the end of the file (64 bytes)');
  });

  it('has a unique key', () => {
    const twice = ggufBytes(
      [
        ['a.b', { u32: 1 }],
        ['a.b', { u32: 1 }],
      ],
      [],
    );
    expectDamaged(twice, 'the key a.b occurs twice');
  });

  it('is rejected if its type is unknown', () => {
    expect(() => parse(headerOf([u32(13), Buffer.alloc(8)]))).toThrow(/the unknown type 13/);
  });
});

describe('a tensor entry', () => {
  const tensor = (shape: readonly number[], type: number, offset = 0) => [
    string('t'),
    u32(shape.length),
    ...shape.map(u64),
    u32(type),
    u64(offset),
  ];

  it.each([...GGUF_TYPES])('has the size of whole blocks for type %s', (name, facts) => {
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

  it('has a type from ggml.h', () => {
    expect([...GGUF_TYPES].map(([name, t]) => [t.type, name, t.block, t.bytes])).toEqual([
      [0, 'F32', 1, 4],
      [1, 'F16', 1, 2],
      [2, 'Q4_0', 32, 18],
      [3, 'Q4_1', 32, 20],
      [6, 'Q5_0', 32, 22],
      [7, 'Q5_1', 32, 24],
      [8, 'Q8_0', 32, 34],
      [9, 'Q8_1', 32, 36],
      [10, 'Q2_K', 256, 84],
      [11, 'Q3_K', 256, 110],
      [12, 'Q4_K', 256, 144],
      [13, 'Q5_K', 256, 176],
      [14, 'Q6_K', 256, 210],
      [15, 'Q8_K', 256, 292],
      [16, 'IQ2_XXS', 256, 66],
      [17, 'IQ2_XS', 256, 74],
      [18, 'IQ3_XXS', 256, 98],
      [19, 'IQ1_S', 256, 50],
      [20, 'IQ4_NL', 32, 18],
      [21, 'IQ3_S', 256, 110],
      [22, 'IQ2_S', 256, 82],
      [23, 'IQ4_XS', 256, 136],
      [24, 'I8', 1, 1],
      [25, 'I16', 1, 2],
      [26, 'I32', 1, 4],
      [27, 'I64', 1, 8],
      [28, 'F64', 1, 8],
      [29, 'IQ1_M', 256, 56],
      [30, 'BF16', 1, 2],
      [34, 'TQ1_0', 256, 54],
      [35, 'TQ2_0', 256, 66],
      [39, 'MXFP4', 32, 17],
      [40, 'NVFP4', 64, 36],
      [41, 'Q1_0', 128, 18],
    ]);
  });

  it.each([
    [9, 'Q8_1'],
    [15, 'Q8_K'],
    [16, 'IQ2_XXS'],
    [17, 'IQ2_XS'],
    [18, 'IQ3_XXS'],
    [19, 'IQ1_S'],
    [21, 'IQ3_S'],
    [22, 'IQ2_S'],
    [29, 'IQ1_M'],
    [34, 'TQ1_0'],
    [35, 'TQ2_0'],
    [40, 'NVFP4'],
    [41, 'Q1_0'],
  ])('lists a tensor of type %i, %s, whose values are not read', (type, name) => {
    expect(canDequantise(name as DType)).toBe(false);
    const { block, bytes } = GGUF_TYPES.get(name)!;
    const header = headerOf(ZERO, tensor([256], type));
    const size = (256 / block) * bytes;
    const listed = parse(Buffer.concat([header, Buffer.alloc(size)])).tensors.get('t')!;
    expect([listed.dtype, listed.end - listed.start]).toEqual([name, size]);
  });

  it('is rejected for an unknown type', () => {
    expect(refusal(() => parse(headerOf(ZERO, tensor([256], 99))))).toMatchObject({
      area: 'base',
      message: 'Tensors of the unknown type 99 cannot be read.',
      place: { file: 'a.gguf', tensor: 't' },
    });
  });

  it('has dimensions within safe integers', () => {
    expectDamaged(headerOf(ZERO, tensor([2 ** 40 + 1], 0)), 'a dimension of t is 1099511627777');
    expect(refusal(() => parse(headerOf(ZERO, tensor([2 ** 40], 0)))).message).toMatch(/cut short/);
    expectDamaged(
      headerOf(ZERO, tensor([2 ** 40, 2 ** 14], 0)),
      'the tensor t has shape [16384, 1099511627776], which F32 cannot hold',
    );
    expectDamaged(
      headerOf(ZERO, tensor([16, 32], 2)),
      'the tensor t has shape [32, 16], which Q4_0 cannot hold',
    );
    expectDamaged(
      headerOf(ZERO, tensor([], 2)),
      'the tensor t has shape [], which Q4_0 cannot hold',
    );
    const beyond = 9_007_199_254_740_992n;
    const offset = [string('t'), u32(0), u32(0), u64(beyond)];
    expectDamaged(headerOf(ZERO, offset), `the offset of t is ${beyond}`);
  });

  it('starts at its offset and ends within the file', () => {
    const header = headerOf(ZERO, tensor([2], 0, 32));
    const file = Buffer.concat([header, Buffer.alloc(40)]);
    expect(parse(file).tensors.get('t')).toMatchObject({
      start: header.length + 32,
      end: header.length + 40,
    });
    expect(refusal(() => parse(file.subarray(0, -1)))).toMatchObject({
      area: 'base',
      message: `The GGUF file is cut short: the tensor would end at byte ${header.length + 40}, the file has ${header.length + 39}.`,
      fix: 'Download it again.',
      place: { file: 'a.gguf', tensor: 't' },
    });
  });

  it('shares no name and no bytes with another', () => {
    const data = new Float32Array(8);
    const two = (second: string) => [
      { name: 'first', shape: [8], data },
      { name: second, shape: [8], data },
    ];
    expectDamaged(ggufBytes([], two('first')), 'the tensor first occurs twice');
    // The offsets are the last 8 bytes of each entry.
    const bytes = ggufBytes([], two('second'));
    const firstOffset = 24 + 8 + 5 + 4 + 8 + 4;
    const secondOffset = firstOffset + 8 + 8 + 6 + 4 + 8 + 4;
    expect(bytes.readBigUInt64LE(secondOffset)).toBe(32n);
    bytes.writeBigUInt64LE(31n, secondOffset);
    expectDamaged(bytes, 'the tensor second shares bytes with another');
    // The second tensor lies before the first.
    bytes.writeBigUInt64LE(32n, firstOffset);
    bytes.writeBigUInt64LE(0n, secondOffset);
    expect([...parse(bytes).tensors.keys()]).toEqual(['first', 'second']);
  });

  it('has at most four dimensions', () => {
    const file = (rank: number) =>
      Buffer.concat([headerOf(ZERO, tensor(Array(rank).fill(1), 0)), Buffer.alloc(4)]);
    expect(parse(file(4)).tensors.get('t')?.shape).toEqual([1, 1, 1, 1]);
    expect(() => parse(file(5))).toThrow(/has 5 dimensions/);
  });
});

describe('a header', () => {
  it('has version 2 or 3', () => {
    for (const version of [2, 3]) expect(parse(headerOf(ZERO, [], version)).alignment).toBe(32);
    for (const version of [1, 4])
      expect(() => parse(headerOf(ZERO, [], version))).toThrow(`version ${version}`);
    expect(() => parse(headerOf(ZERO, [], 1 << 24))).toThrow(/big-endian/);
  });

  it('is rejected for another version or byte order, or no magic number', () => {
    expect(refusal(() => parse(headerOf(ZERO, [], 4)))).toMatchObject({
      area: 'base',
      message: 'GGUF version 4 is not supported, only 2 and 3.',
      place: { file: 'a.gguf' },
    });
    expect(refusal(() => parse(headerOf(ZERO, [], 1 << 24)))).toMatchObject({
      area: 'base',
      message: 'The GGUF file is for big-endian machines.',
      fix: 'Use the usual little-endian file.',
      place: { file: 'a.gguf' },
    });
    expect(refusal(() => parse(Buffer.alloc(24)))).toMatchObject({
      area: 'base',
      message: 'The file is not a GGUF file.',
      place: { file: 'a.gguf' },
    });
  });

  it('may have no tensors and no metadata', () => {
    const bytes = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(0)]);
    expect(parse(bytes).metadata.size).toBe(0);
  });

  it('has at most 2^17 tensors and 2^14 metadata values', () => {
    const counts = (tensors: number, values: number) =>
      Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(values)]);
    expectDamaged(counts(2 ** 17 + 1, 0), 'the number of tensors is 131073');
    expectDamaged(counts(0, 2 ** 14 + 1), 'the number of values is 16385');
    const end = 'its header continues beyond the end of the file (24 bytes)';
    expectDamaged(counts(2 ** 17, 0), end);
    expectDamaged(counts(0, 2 ** 14), end);
  });

  it('may set a tensor alignment of up to 1 MiB', () => {
    const aligned = (value: Value, size = 0) => {
      const bytes = ggufBytes([['general.alignment', value]], []);
      return Buffer.concat([bytes, Buffer.alloc(size)]);
    };
    for (const alignment of [1, 64, 2 ** 20]) {
      expect(parse(aligned({ u32: alignment })).alignment).toBe(alignment);
    }
    for (const [value, text] of [
      [{ u32: 0 }, '0'],
      [{ u32: 2 ** 20 + 1 }, '1048577'],
      [{ f32: 1.5 }, '1.5'],
      [{ text: '32' }, '32'],
      [{ bool: true }, 'true'],
    ] as const) {
      expectDamaged(aligned(value), `its alignment is ${text}`);
    }
    const one = { name: 't', shape: [1], data: Float32Array.of(1) };
    const bytes = ggufBytes([['general.alignment', { u32: 4 }]], [one]);
    const { start } = parse(bytes).tensors.get('t')!;
    expect(start).toBe(24 + 8 + 17 + 4 + 4 + 8 + 1 + 4 + 8 + 4 + 8 + 2);
  });

  it('requests more bytes if the file is longer', () => {
    const bytes = headerOf(ZERO);
    expect(() => parse(bytes.subarray(0, 30), bytes.length)).toThrow(MoreBytesNeeded);
    expect(() => parse(bytes.subarray(0, 30))).toThrow(/continues beyond the end of the file/);
    expect(() => parse(bytes.subarray(0, 23))).toThrow(/not a GGUF file/);
  });
});
