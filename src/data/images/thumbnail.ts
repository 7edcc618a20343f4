import { crc32, deflateSync } from 'node:zlib';
import { LoraError } from '../../shared/errors';
import { chatImageFault } from '../rows/contentParts';
import { readImageFile } from './reader';
import { resizeImage, type Picture } from './resize';

/** A small copy of an image. */
export interface Thumbnail {
  /** A data: URL of a PNG. */
  readonly url: string;
  /** Of the image itself, in pixels. */
  readonly width: number;
  readonly height: number;
}

/** The longer side of a thumbnail, in pixels. */
const SIDE = 128;
/** Pillow's box filter, the fastest that takes all pixels. */
const BOX = 4;

/**
 * A small copy of an image, a file or a data: URL, without anything of its metadata. Rejects with
 * LoraError('dataset') for an unreadable one, and for anything else that a page may send.
 */
export async function thumbnailOf(image: string): Promise<Thumbnail> {
  const fault = chatImageFault(image);
  if (fault !== null) throw new LoraError('dataset', `The image ${fault}.`);
  const picture = await readImageFile(image);
  const { width, height } = picture;
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const side = (length: number) => Math.max(1, Math.round(length * scale));
  const small = resizeImage(picture, side(width), side(height), BOX);
  return { url: `data:image/png;base64,${pngOf(small).toString('base64')}`, width, height };
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Bits of a sample, RGB, and the only methods there are. */
const FORM = [8, 2, 0, 0, 0];

/** A picture as PNG, its rows unfiltered. */
export function pngOf({ width, height, data }: Picture): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const rows = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y++)
    rows.set(data.subarray(y * 3 * width, (y + 1) * 3 * width), y * (1 + 3 * width) + 1);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', Buffer.concat([header, Buffer.from(FORM)])),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(kind: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
