import { createInflateRaw, crc32 } from 'node:zlib';
import { LoraError } from '../../shared/errors';
import { allocate, readFully, type OpenFile } from '../openFile';
import type { NpyBytes } from './read';

/** An array in an archive of NumPy (.npz), by the central directory of the zip file. */
interface Entry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  /** Bytes in the archive. */
  readonly packed: number;
  readonly size: number;
  /** Of its own header. */
  readonly at: number;
}

const STORED = 0;
const DEFLATED = 8;
const END_BYTES = 22;
const MOST_COMMENT = 65_535;
const MOST_DIRECTORY = 16 * 2 ** 20;
/** In place of numbers that need 64 bits. */
const LARGE = 0xffffffff;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const IS_ENCRYPTED = 1;

const AGAIN = 'Write it again with numpy.savez.';

/**
 * The arrays of a .npz file, by their names without `.npy`. Only the directory is read.
 *
 * @throws LoraError('dataset') for a damaged archive, or one of more than 4 GiB
 */
export async function openNpz(source: OpenFile): Promise<ReadonlyMap<string, NpyBytes>> {
  const entries = await readDirectory(source);
  const names = new Set(entries.map(({ name }) => name));
  if (names.size !== entries.length) throw damaged(source, 'it has two arrays of one name');
  return new Map(
    entries
      .filter(({ name }) => name.endsWith('.npy'))
      .map((entry) => {
        const name = entry.name.slice(0, -'.npy'.length);
        return [name, bytesOf(source, entry, name)] as const;
      }),
  );
}

const damaged = ({ file }: OpenFile, what: string): LoraError =>
  new LoraError('dataset', `The archive is damaged: ${what}.`, { place: { file }, fix: AGAIN });

async function bytesAt(source: OpenFile, from: number, count: number): Promise<Buffer> {
  if (from < 0 || from + count > source.size) throw damaged(source, 'parts of it are missing');
  const bytes = Buffer.alloc(count);
  await readFully(source, bytes, from);
  return bytes;
}

async function readDirectory(source: OpenFile): Promise<Entry[]> {
  const tail = Math.min(source.size, END_BYTES + MOST_COMMENT);
  const end = await bytesAt(source, source.size - tail, tail);
  const at = end.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (at < 0 || at + END_BYTES > end.length)
    throw new LoraError('dataset', 'The file is not an archive of NumPy (.npz).', {
      place: { file: source.file },
      fix: AGAIN,
    });
  const count = end.readUInt16LE(at + 10);
  const [size, offset] = [end.readUInt32LE(at + 12), end.readUInt32LE(at + 16)];
  if (offset === LARGE || count === 0xffff)
    throw new LoraError('dataset', 'The archive is larger than 4 GiB.', {
      place: { file: source.file },
      fix: 'Write fewer rows, or a .safetensors file.',
    });
  if (size > MOST_DIRECTORY) throw damaged(source, 'its directory is too large');
  const directory = await bytesAt(source, offset, size);
  const entries: Entry[] = [];
  for (let place = 0; entries.length < count;) {
    if (place + ENTRY_BYTES > size || directory.readUInt32LE(place) !== 0x02014b50)
      throw damaged(source, 'its directory ends early');
    const { entry, length } = readEntry(directory, place, source);
    entries.push(entry);
    place += length;
  }
  return entries;
}

function readEntry(
  directory: Buffer,
  at: number,
  source: OpenFile,
): { readonly entry: Entry; readonly length: number } {
  const word = (place: number) => directory.readUInt16LE(at + place);
  const long = (place: number) => directory.readUInt32LE(at + place);
  const name = directory.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + word(28));
  const entry = { name, method: word(10), crc: long(16), packed: long(20), size: long(24) };
  if ([entry.packed, entry.size, long(42)].includes(LARGE))
    throw new LoraError('dataset', 'The array is larger than 4 GiB.', {
      place: { file: source.file, tensor: name },
      fix: 'Write fewer rows, or a .safetensors file.',
    });
  const isKnown = entry.method === STORED || entry.method === DEFLATED;
  if (word(8) & IS_ENCRYPTED || !isKnown)
    throw new LoraError(
      'dataset',
      'The array is encrypted, or packed in a way that is not known.',
      {
        place: { file: source.file, tensor: name },
        fix: AGAIN,
      },
    );
  return {
    entry: { ...entry, at: long(42) },
    length: ENTRY_BYTES + word(28) + word(30) + word(32),
  };
}

function bytesOf(source: OpenFile, entry: Entry, name: string): NpyBytes {
  const { size } = entry;
  return {
    place: { file: source.file, tensor: name },
    size,
    head: (count) => firstBytes(source, entry, Math.min(count, size)),
    from: async (start) => (await allBytes(source, entry, name)).slice(start),
  };
}

/** Where the bytes of an entry begin. */
async function dataAt(source: OpenFile, { at }: Entry): Promise<number> {
  const local = await bytesAt(source, at, LOCAL_BYTES);
  if (local.readUInt32LE(0) !== 0x04034b50) throw damaged(source, 'an array is not where it says');
  return at + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
}

async function firstBytes(source: OpenFile, entry: Entry, count: number): Promise<Uint8Array> {
  const target = new Uint8Array(count);
  await unpack(source, entry, target);
  return target;
}

async function allBytes(source: OpenFile, entry: Entry, name: string) {
  const target = allocate(entry.size, source.file, name);
  await unpack(source, entry, target);
  if (crc32(target) !== entry.crc) throw damaged(source, `the checksum of ${name} is another`);
  return target;
}

const CHUNK_BYTES = 2 ** 18;

/** Fills `target` with the first bytes of an entry. What is packed beyond it is not unpacked. */
async function unpack(source: OpenFile, entry: Entry, target: Uint8Array): Promise<void> {
  const start = await dataAt(source, entry);
  if (entry.method === STORED) {
    if (entry.packed !== entry.size) throw damaged(source, 'the sizes of an array differ');
    await bytesAt(source, start, 0);
    return readFully(source, target, start);
  }
  let done = 0;
  for await (const chunk of inflated(source, start, entry.packed)) {
    const own = chunk.subarray(0, target.length - done);
    target.set(own, done);
    done += own.length;
    if (done === target.length) return;
  }
  if (done < target.length) throw damaged(source, 'an array ends early');
}

async function* inflated(
  source: OpenFile,
  start: number,
  packed: number,
): AsyncGenerator<Uint8Array> {
  if (start + packed > source.size) throw damaged(source, 'parts of it are missing');
  const inflate = createInflateRaw();
  const isClosed = () => inflate.destroyed;
  const feed = async () => {
    for (let at = 0; at < packed && !isClosed(); at += CHUNK_BYTES) {
      const chunk = await bytesAt(source, start + at, Math.min(CHUNK_BYTES, packed - at));
      // closed while the chunk was read, it would never be drained
      if (isClosed()) return;
      if (!inflate.write(chunk)) await drained(inflate);
    }
    inflate.end();
  };
  const feeding = feed().catch((error: unknown) => inflate.destroy(error as Error));
  try {
    for await (const chunk of inflate) yield chunk as Uint8Array;
  } catch (error) {
    throw error instanceof LoraError ? error : damaged(source, 'an array cannot be unpacked');
  } finally {
    inflate.destroy();
    await feeding;
  }
}

const drained = (inflate: ReturnType<typeof createInflateRaw>): Promise<void> =>
  new Promise((resolve) => {
    inflate.once('drain', resolve);
    inflate.once('close', resolve);
  });
