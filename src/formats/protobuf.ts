/** The wire types of Protocol Buffers that are in use. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** A field as it is read: a whole number, or its bytes. */
export interface ReadField {
  readonly number: number;
  readonly value: number;
  readonly bytes: Buffer;
}

const NOTHING = Buffer.alloc(0);

/**
 * Calls `visit` with each field of a message in turn, so that nothing is kept of those that are not
 * wanted.
 *
 * @returns false when the bytes are no message; the fields before the fault were visited
 */
export function forEachField(message: Buffer, visit: (field: ReadField) => void): boolean {
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
    const key = number();
    if (key === null) return false;
    const field = Math.floor(key / 8);
    const type = key % 8;
    const length = lengthOf(type, number);
    if (length === null) return false;
    if (type === VARINT) visit({ number: field, value: length, bytes: NOTHING });
    else {
      if (at + length > message.length) return false;
      visit({ number: field, value: NaN, bytes: message.subarray(at, at + length) });
      at += length;
    }
  }
  return true;
}

/** How many bytes follow; of a varint its value. */
function lengthOf(type: number, number: () => number | null): number | null {
  if (type === FIXED64) return 8;
  if (type === FIXED32) return 4;
  return type === VARINT || type === BYTES ? number() : null;
}
