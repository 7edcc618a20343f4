import { tooLong } from '../logs/tooLong';
import { maskedCrc32c } from './crc32c';

/** Bytes around the data of a record: its length, and a checksum of each. */
const HEADER_BYTES = 12;
const FOOTER_BYTES = 4;

/** Data as a record of a TFRecord file. */
export function recordOf(data: Uint8Array): Buffer {
  const record = Buffer.alloc(HEADER_BYTES + data.length + FOOTER_BYTES);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, HEADER_BYTES);
  record.writeUInt32LE(maskedCrc32c(data), HEADER_BYTES + data.length);
  return record;
}

/** An untrusted file may hold millions of empty records. */
const MAX_RECORDS = 1_000_000;

/** Records of a file, and whether it continues with something that is none. */
export interface ReadRecords {
  readonly records: readonly Buffer[];
  /** The file ends within a record, as that of a training run that continues or was killed. */
  readonly isCut: boolean;
  /** A checksum is wrong: what follows cannot be found. */
  readonly isDamaged: boolean;
}

/**
 * The records of a TFRecord file up to the first that is cut off or damaged.
 *
 * @throws LoraError for too many
 */
export function readRecords(file: Buffer): ReadRecords {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length;) {
    if (records.length >= MAX_RECORDS) throw tooLong(MAX_RECORDS, 'records');
    if (file.length - at < HEADER_BYTES) return { records, isCut: true, isDamaged: false };
    const header = file.subarray(at, at + 8);
    if (maskedCrc32c(header) !== file.readUInt32LE(at + 8))
      return { records, isCut: false, isDamaged: true };
    const length = Number(header.readBigUInt64LE());
    const start = at + HEADER_BYTES;
    const end = start + length + FOOTER_BYTES;
    if (end > file.length) return { records, isCut: true, isDamaged: false };
    const data = file.subarray(start, start + length);
    if (maskedCrc32c(data) !== file.readUInt32LE(start + length))
      return { records, isCut: false, isDamaged: true };
    records.push(data);
    at = end;
  }
  return { records, isCut: false, isDamaged: false };
}
