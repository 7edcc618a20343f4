/** Bytes of the largest header that is read. */
const HEADER_BYTES = 2 ** 25;

export function hostileHeader() {
  const [start, end] = ['{"__metadata__":{"x":[{}', ']}}'];
  const count = Math.floor((HEADER_BYTES - start.length - end.length) / 3);
  const text = Buffer.from((start + ',{}'.repeat(count) + end).padEnd(HEADER_BYTES));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
