const BLOCK_BYTES = 2 ** 17;

/** The header of a block (RFC 8878, 3.1.1.2). `type` 0: as it is; 1: one byte, repeated. */
function blockHeader(isLast: boolean, type: 0 | 1, size: number): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | Number(isLast), 0, 3);
  return header;
}

/**
 * A frame of Zstandard that holds the bytes as they are, with a window of 128 KiB.
 *
 * @param options `repeatedBlocks`: as many blocks of 128 KiB in front, of 4 bytes each.
 */
export function zstdFrame(bytes: Buffer, { repeatedBlocks = 0 } = {}): Buffer {
  const parts: Uint8Array[] = [Buffer.from('28b52ffd0038', 'hex')];
  for (let i = 0; i < repeatedBlocks; i++)
    parts.push(blockHeader(false, 1, BLOCK_BYTES), Buffer.from('a'));
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    parts.push(blockHeader(at + block.length >= bytes.length, 0, block.length), block);
  }
  return Buffer.concat(parts);
}
