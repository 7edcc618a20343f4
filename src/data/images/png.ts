import { constants, inflateSync } from 'node:zlib';
import { exifOrientation, type Orientation } from './orientation';

/** Chunks that the pixels depend on: not texts and colour profiles, which may be bombs. */
const NEEDED: ReadonlySet<string> = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
const LONGEST_PALETTE = 3 * 256;
const SIGNATURE_BYTES = 8;
const INTERLACE_AT = 28;
/** Length, type and checksum of a chunk. */
const CHUNK_BYTES = 12;
/** Bytes of samples: 160 MB are 40 million RGBA pixels of 8 bits. */
const MOST_BYTES = 160e6;
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Each pass of an interlaced image rounds its rows up to bytes and adds a filter. */
const PASSES = 7;

/**
 * A PNG with the chunks that are needed, whose data inflates to no more than the pixels take.
 *
 * @throws Error when there is more, or no such data.
 */
export function boundedPng(bytes: Buffer): Buffer {
  const chunks = [...chunksOf(bytes)].filter(({ type }) => NEEDED.has(type));
  if (chunks.some(({ type, data }, i) => (type === 'IHDR') !== (i === 0) || isLong(type, data)))
    throw new Error('its chunks are not those of a PNG');
  const most = bytesOfSamples(bytes);
  if (most > MOST_BYTES)
    throw new Error(`its pixels take ${Math.round(most / 1e6)} MB, more than ${MOST_BYTES / 1e6}`);
  const data = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data));
  // the decoder checks the length of an interlaced image, of which `most` is only a bound
  if (inflatedLength(data, most) < most && bytes[INTERLACE_AT] === 0)
    throw new Error('the file is cut short');
  return Buffer.concat([bytes.subarray(0, SIGNATURE_BYTES), ...chunks.map(({ whole }) => whole)]);
}

/** How many bytes the data inflates to. @throws Error if they are more than `most` */
function inflatedLength(data: Buffer, most: number): number {
  try {
    const settings = { maxOutputLength: most, finishFlush: constants.Z_SYNC_FLUSH };
    return inflateSync(data, settings).length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    throw new Error('its data inflates to more than its size', { cause: error });
  }
}

/** How the image is turned for showing it, by its chunk of EXIF data. */
export function pngOrientation(bytes: Buffer): Orientation {
  for (const { type, data } of chunksOf(bytes)) {
    if (type === 'eXIf') return exifOrientation(data) ?? 1;
  }
  return 1;
}

/** Whether the chunks lead to the end. */
export function isWholePng(bytes: Buffer): boolean {
  for (const { type } of chunksOf(bytes)) if (type === 'IEND') return true;
  return false;
}

const isLong = (type: string, data: Buffer) =>
  (type === 'PLTE' || type === 'tRNS') && data.length > LONGEST_PALETTE;

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
  /** With its length, type and checksum. */
  readonly whole: Buffer;
}

/** The chunks up to IEND, or up to the end of a file that is cut short. */
function* chunksOf(bytes: Buffer): Generator<Chunk> {
  for (let at = SIGNATURE_BYTES; at + CHUNK_BYTES <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    const end = at + CHUNK_BYTES + length;
    yield {
      type,
      data: bytes.subarray(at + 8, Math.min(bytes.length, end - 4)),
      whole: bytes.subarray(at, end),
    };
    if (type === 'IEND') return;
    at = end;
  }
}

/** The most bytes that the filtered rows of the image can take. */
function bytesOfSamples(bytes: Buffer): number {
  if (bytes.length < SIGNATURE_BYTES + 25) throw new Error('its header is cut short');
  const width = bytes.readUInt32BE(16);
  const height = bytes.readUInt32BE(20);
  const [depth, color, , , interlace] = bytes.subarray(24, 29);
  const channels = CHANNELS[color!];
  if (channels === undefined) throw new Error(`its colour type is ${color}`);
  const rows = height * (Math.ceil((width * channels * depth!) / 8) + 1);
  return interlace === 0 ? rows : rows + PASSES * (width + height) * 8 + 64;
}
