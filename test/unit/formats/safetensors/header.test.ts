import { describe, expect, it } from 'vitest';
import {
  headerLength,
  MAX_HEADER,
  parseHeader,
  SAFETENSORS_BYTES,
} from '../../../../src/formats/safetensors/header';
import { LoraError } from '../../../../src/shared/errors';

const AGAIN = 'Download or copy the file again.';
const source = (size: number) => ({ file: 'a.safetensors', size, area: 'base' as const });

function prefix(length: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(length));
  return bytes;
}

/** Parses a header whose data starts at byte 100 and ends at `end`. */
const parse = (entries: object | string, end = 108) =>
  parseHeader(typeof entries === 'string' ? entries : JSON.stringify(entries), 100, source(end));

/** An entry of two f32 values. */
const entry = (changes: object = {}) => ({
  dtype: 'F32',
  shape: [2],
  data_offsets: [0, 8],
  ...changes,
});

function refusal(act: () => unknown): LoraError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(LoraError);
    return error as LoraError;
  }
  throw new Error('It was accepted.');
}

function expectDamaged(act: () => unknown, what: string, tensor?: string): void {
  expect(refusal(act)).toMatchObject({
    area: 'base',
    message: `The safetensors file is damaged: ${what}.`,
    fix: AGAIN,
    place: { file: 'a.safetensors', ...(tensor !== undefined && { tensor }) },
  });
}

describe('the header length', () => {
  it('may extend to the end of the file', () => {
    expect(headerLength(prefix(92), source(100))).toBe(92);
    expectDamaged(
      () => headerLength(prefix(93), source(100)),
      'its header claims 93 bytes, but the file has only 100',
    );
  });

  it('may be up to 32 MiB', () => {
    expect(headerLength(prefix(MAX_HEADER), source(MAX_HEADER + 8))).toBe(2 ** 25);
    expect(() => headerLength(prefix(MAX_HEADER + 1), source(MAX_HEADER + 9))).toThrow(
      "The safetensors file's header has 33554433 bytes; at most 33554432 are read.",
    );
  });

  it('is read from 8 bytes at any buffer offset', () => {
    expect(headerLength(Buffer.from([9, ...prefix(3)]).subarray(1), source(11))).toBe(3);
    expect(headerLength(prefix(0), source(8))).toBe(0);
    expectDamaged(() => headerLength(prefix(0), source(7)), 'it has 7 bytes, fewer than a header');
  });
});

describe('a header entry', () => {
  it.each([...SAFETENSORS_BYTES])('of dtype %s has %i bytes per element', (dtype, bytes) => {
    const shape = [3, 5];
    const end = 15 * bytes;
    const header = parse({ a: { dtype, shape, data_offsets: [0, end] } }, 100 + end);
    expect(header.tensors.get('a')).toEqual({
      name: 'a',
      dtype,
      shape,
      start: 100,
      end: 100 + end,
    });
  });

  it('without dimensions is a scalar', () => {
    expect(parse({ a: entry({ shape: [], data_offsets: [0, 4] }) }, 104).tensors.size).toBe(1);
  });

  it.each<[unknown, string]>([
    [7, 'its entry is not an object'],
    [null, 'its entry is not an object'],
    [entry({ dtype: 'F7' }), 'its dtype "F7" is unknown'],
    [entry({ dtype: ['F32'] }), 'its dtype ["F32"] is unknown'],
    [entry({ shape: 2 }), 'its shape is not a list of sizes'],
    [entry({ shape: [2, '1'] }), 'its shape is not a list of sizes'],
    [entry({ shape: [2, 0.5] }), 'its shape is not a list of sizes'],
    [entry({ shape: [-1, -2] }), 'its shape is not a list of sizes'],
    [entry({ shape: [2 ** 53] }), 'its shape is not a list of sizes'],
    [entry({ data_offsets: 8 }), 'its data_offsets are not two positions'],
    [entry({ data_offsets: [8] }), 'its data_offsets are not two positions'],
    [entry({ data_offsets: [0, 8, 8] }), 'its data_offsets are not two positions'],
    [entry({ data_offsets: [0, '8'] }), 'its data_offsets are not two positions'],
    [entry({ data_offsets: [-8, 0] }), 'its data_offsets are not two positions'],
    [entry({ data_offsets: [8, 4] }), 'its data would be at bytes 108 to 104 of a file of 108'],
    [entry({ data_offsets: [1, 9] }), 'its data would be at bytes 101 to 109 of a file of 108'],
    [entry({ shape: [2, 3] }), 'shape [2, 3] of F32 needs 24 bytes, its data_offsets span 8'],
  ])('%j is rejected: %s', (value, what) => {
    expectDamaged(() => parse({ a: value }), what, 'a');
  });
});

describe('the data section', () => {
  const bytes = (start: number, end: number) => ({
    dtype: 'U8',
    shape: [end - start],
    data_offsets: [start, end],
  });

  it('may be in any order, and empty', () => {
    const header = parse({
      c: bytes(5, 8),
      a: bytes(0, 5),
      empty: bytes(5, 5),
      last: bytes(8, 8),
    });
    expect([...header.tensors.keys()]).toEqual(['c', 'a', 'empty', 'last']);
    expect(header.metadata).toEqual({});
    expect(parse({}, 100).tensors.size).toBe(0);
  });

  it('has no gaps or overlaps, and ends with the file', () => {
    expectDamaged(
      () => parse({ a: bytes(0, 5), b: bytes(4, 8) }),
      'the tensor b shares bytes with another',
    );
    expectDamaged(
      () => parse({ a: bytes(0, 4), b: bytes(5, 8) }),
      'bytes 104 to 105 belong to no tensor',
    );
    expectDamaged(() => parse({ a: bytes(1, 8) }), 'bytes 100 to 101 belong to no tensor');
    expectDamaged(() => parse({ a: bytes(0, 7) }), 'bytes 107 to 108 belong to no tensor');
    expectDamaged(() => parse({}), 'bytes 100 to 108 belong to no tensor');
  });
});

describe('the header JSON', () => {
  it('is an object', () => {
    expectDamaged(() => parse('{'), 'its header is not JSON');
    expect(refusal(() => parse('{')).cause).toBeInstanceOf(SyntaxError);
    for (const text of ['[]', 'null', '7']) {
      expectDamaged(() => parse(text), 'its header is not a JSON object');
    }
  });

  it('has only strings as metadata', () => {
    const metadata = { format: 'pt', license: 'MIT' };
    expect(parse({ __metadata__: metadata, a: entry() }).metadata).toEqual(metadata);
    for (const bad of [{ format: 'pt', version: 1 }, ['pt'], 'pt']) {
      expectDamaged(
        () => parse({ __metadata__: bad, a: entry() }),
        'its __metadata__ is not a map of strings',
      );
    }
  });

  it('may repeat only strings that are not tensor names', () => {
    const text = JSON.stringify(entry());
    // A key in an entry, a string in an array, and escaped quotes and braces look like names.
    const odd = `{"shape": {"__proto__": 1}, "x": ["a", "a", {"a": 1}], ${text.slice(1)}`;
    const metadata = '"__metadata__": {"a": "a", "b\\"{": "a", "c\\\\": "}"}';
    expect([...parse(`{${metadata}, "a": ${odd}}`).tensors.keys()]).toEqual(['a']);
    const empty = JSON.stringify(entry({ shape: [0], data_offsets: [8, 8] }));
    expectDamaged(
      () => parse(`{"a": ${odd}, "b": ${empty}, "b": ${empty}}`),
      'its header contains the tensor b twice',
    );
    expectDamaged(
      () => parse(`{${metadata}, "a": ${text}, "__proto__": ${empty}}`),
      'a tensor is named __proto__',
    );
  });
});

it.each([
  ['F4', 8],
  ['F6_E2M3', 12],
  ['F8_E8M0', 16],
])('16 elements of %s have %i bytes', (dtype, end) => {
  const own = { dtype, shape: [2, 8], data_offsets: [0, end] };
  expect(parse({ a: own }, 100 + end).tensors.get('a')).toMatchObject({ dtype, end: 100 + end });
});
