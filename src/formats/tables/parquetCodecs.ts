import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress } from 'fzstd';
import type { Compressors } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** Decompresses the pages of a Parquet file, to the size that their headers give and no more. */
export const PARQUET_CODECS: Compressors = {
  ...compressors,
  GZIP: (input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  ZSTD: (input, length) => decompress(input, new Uint8Array(length)),
};

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of a Parquet file. @throws TypeError where it is not UTF-8 */
export const textOfBytes = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && decoder.decode(bytes);
