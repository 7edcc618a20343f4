import { Decompress } from 'fzstd';
import { unpackFault } from './faults';

/** Few enough that what they unpack to is bounded: a block of 4 bytes can unpack to 128 KiB. */
const SLICE_BYTES = 2 ** 14;
const MOST_OF_A_SLICE = 96 * 2 ** 20;
const MAGIC = 0xfd2fb528;
/** As the zstd program accepts it. */
const MOST_WINDOW_BYTES = 2 ** 27;

/** The bytes of a file in Zstandard, which Node 20 cannot read. @throws LoraError('dataset') */
export async function* unpackZstd(
  file: string,
  packed: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  const unpacker = new Decompress((data) => {
    length += data.length;
    if (length > MOST_OF_A_SLICE)
      throw new RangeError('it unpacks to thousands of times its size, which no rows do');
    // the library uses its memory again
    if (data.length > 0) parts.push(Buffer.from(data));
  });
  const push = (bytes: Uint8Array, isLast: boolean): Buffer => {
    parts = [];
    length = 0;
    try {
      unpacker.push(bytes, isLast);
    } catch (error) {
      throw unpackFault(file, 'zstd', error);
    }
    return Buffer.concat(parts);
  };
  let pending: Buffer | null = null;
  let isFirst = true;
  for await (const chunk of packed) {
    if (isFirst && windowBytes(chunk) > MOST_WINDOW_BYTES)
      throw unpackFault(file, 'zstd', new RangeError('it needs more than 128 MiB of memory'));
    isFirst = false;
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      if (pending) {
        const bytes = push(pending, false);
        if (bytes.length > 0) yield bytes;
      }
      pending = chunk.subarray(at, at + SLICE_BYTES);
    }
  }
  const bytes = push(pending ?? Buffer.alloc(0), true);
  if (bytes.length > 0) yield bytes;
}

/** The bytes that a frame of Zstandard refers back to (RFC 8878, 3.1.1.1); 0: not such a frame. */
function windowBytes(head: Buffer): number {
  if (head.length < 14 || head.readUInt32LE(0) !== MAGIC) return 0;
  const descriptor = head[4]!;
  const isSingle = (descriptor & 0x20) !== 0;
  if (!isSingle) {
    const base = 2 ** (10 + (head[5]! >> 3));
    return base + (base / 8) * (head[5]! & 7);
  }
  const at = 5 + [0, 1, 2, 4][descriptor & 3]!;
  const size = descriptor >> 6;
  if (size === 0) return head[at]!;
  if (size === 1) return head.readUInt16LE(at) + 256;
  if (size === 2 || head.length < at + 8) return head.readUInt32LE(at);
  return Number(head.readBigUInt64LE(at));
}
