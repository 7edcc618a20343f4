import { readFileSync } from 'node:fs';
import path from 'node:path';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { decodeImage } from '../../src/data/images/decode';
import { imageSize } from '../../src/data/images/imageHeader';
import { openChatImages, type ChatImages } from '../../src/data/images/chatImages';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { isObject } from '../../src/shared/values';
import { anyBytes } from './damage';
import { mutateBytes, pick } from './mutate';
import { fixture, type Damage, type ReaderCase } from './readerCase';

const IMAGES = [
  ['png', 'photos/turned6.png'],
  ['png 16 bits', 'photos/grey16.png'],
  ['png palette', 'photos/palette_transparent.png'],
  ['png few bits', 'images/palette4.png'],
  ['jpg', 'photos/thinned420.jpg'],
  ['progressive', 'photos/progressive420.jpg'],
  ['restarts', 'photos/restarts.jpg'],
  ['inks', 'photos/cmyk_turned.jpg'],
] as const;

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
}

const SIGNATURE = 8;

function chunksOf(bytes: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = SIGNATURE; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

function sealed({ type, data }: Chunk): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** A PNG with another chunk, or other pixels before they are packed; all checksums are right. */
const damagedChunk: Damage = (original, random) => {
  const chunks = chunksOf(original);
  const own = pick(chunks, random);
  const isPixels = own.type === 'IDAT' && random() < 0.7;
  const data = isPixels ? inflateSync(own.data) : own.data;
  const other = Buffer.from(mutateBytes(data, [original], random));
  const changed = { type: own.type, data: isPixels ? deflateSync(other) : other };
  const all = chunks.flatMap((chunk) => (chunk === own ? sealed(changed) : sealed(chunk)));
  return Buffer.concat([original.subarray(0, SIGNATURE), ...all]);
};

/** The pixels fit their size, which is the one that the header tells. */
function readImage(bytes: Buffer): void {
  const { width, height, data } = decodeImage(bytes, 'image');
  if (data.length !== width * height * 3)
    throw new RangeError(`${data.length} numbers for ${width} x ${height} pixels`);
  const size = imageSize(bytes);
  if (size.width !== width || size.height !== height)
    throw new RangeError(
      `the header tells ${size.width} x ${size.height}, not ${width} x ${height}`,
    );
}

/** Readers of images, of which rows name files. */
export function imageCases(): ReaderCase[] {
  return IMAGES.flatMap(([name, file]) => {
    const target = `image${path.extname(file)}`;
    const own = {
      files: { [target]: readFileSync(fixture(file)) },
      target,
      read: (folder: string) => {
        readImage(readFileSync(path.join(folder, target)));
        return Promise.resolve();
      },
    };
    const few = name.startsWith('png ') && { inputs: 3_000 };
    const cases: ReaderCase[] = [{ ...own, ...few, name, damage: anyBytes }];
    if (target.endsWith('.png'))
      cases.push({ ...own, name: `${name} chunks`, damage: damagedChunk, inputs: 3_000 });
    return cases;
  }).concat(chatImage());
}

/** An image of a chat: first its header, then its pixels as the model reads them. */
function chatImage(): ReaderCase {
  const base = fixture('qwen3-vl-images', 'base');
  const config: unknown = JSON.parse(readFileSync(path.join(base, 'config.json'), 'utf8'));
  let images: Promise<ChatImages | null> | undefined;
  return {
    name: 'chat image',
    files: { 'image.png': readFileSync(fixture('qwen3-vl-images', 'chats', 'wide.png')) },
    target: 'image.png',
    damage: (original, random) =>
      random() < 0.5 ? anyBytes(original, random) : damagedChunk(original, random),
    inputs: 3_000,
    read: async (folder) => {
      if (!isObject(config)) throw new TypeError('The fixture has no config.');
      images ??= openChatImages({ spec: readSpec(config, 'config.json'), path: base });
      const reader = (await images)!;
      const file = path.join(folder, 'image.png');
      const grid = reader.gridOf(file);
      const samples = await reader.samples(file, grid);
      if (!samples.every(Number.isFinite)) throw new RangeError('samples that are not finite');
    },
  };
}
