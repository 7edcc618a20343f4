import { tooLong } from '../logs/tooLong';

/** The wire types of Protocol Buffers that are in use. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** A field of a message as it is written. */
export type Field = Buffer;

export const doubleField = (number: number, value: number): Field => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(number, FIXED64), bytes]);
};

export const floatField = (number: number, value: number): Field => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(number, FIXED32), bytes]);
};

export const integerField = (number: number, value: number): Field =>
  Buffer.concat([tag(number, VARINT), varint(value)]);

export const bytesField = (number: number, value: Uint8Array | string): Field => {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([tag(number, BYTES), varint(bytes.length), bytes]);
};

export const messageField = (number: number, ...fields: readonly Field[]): Field =>
  bytesField(number, Buffer.concat(fields));

const tag = (number: number, type: number): Buffer => varint(number * 8 + type);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A field as it is read: a whole number, or its bytes. */
export interface ReadField {
  readonly number: number;
  readonly value: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);
/** A message of a stranger may hold millions of fields of one byte. */
const MAX_FIELDS = 100_000;

/** The fields of a message; null when it is not one. @throws LoraError for too many */
export function readFields(message: Buffer): readonly ReadField[] | null {
  const fields: ReadField[] = [];
  let at = 0;
  const number = (): number | null => {
    let [value, scale] = [0, 1];
    for (let i = 0; i < 10 && at < message.length; i++) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    return null;
  };
  while (at < message.length) {
    if (fields.length >= MAX_FIELDS) throw tooLong(MAX_FIELDS, 'values in a record');
    const key = number();
    if (key === null) return null;
    const field = Math.floor(key / 8);
    const type = key % 8;
    const length = lengthOf(type, number);
    if (length === null) return null;
    if (type === VARINT) fields.push({ number: field, value: length, bytes: NOTHING });
    else {
      if (at + length > message.length) return null;
      fields.push({ number: field, value: NaN, bytes: message.subarray(at, at + length) });
      at += length;
    }
  }
  return fields;
}

/** How many bytes follow; of a varint its value. */
function lengthOf(type: number, number: () => number | null): number | null {
  if (type === FIXED64) return 8;
  if (type === FIXED32) return 4;
  return type === VARINT || type === BYTES ? number() : null;
}
