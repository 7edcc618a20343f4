import { tooLong } from '../logs/tooLong';
import { BYTES, FIXED32, FIXED64, forEachField, VARINT, type ReadField } from '../protobuf';

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

/** An untrusted message may hold millions of fields of one byte. */
const MAX_FIELDS = 100_000;

/** The fields of a message; null when it is not one. @throws LoraError for too many */
export function readFields(message: Buffer): readonly ReadField[] | null {
  const fields: ReadField[] = [];
  const isMessage = forEachField(message, (field) => {
    if (fields.length >= MAX_FIELDS) throw tooLong(MAX_FIELDS, 'values in a record');
    fields.push(field);
  });
  return isMessage ? fields : null;
}
