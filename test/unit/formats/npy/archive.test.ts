import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { openNpz } from '../../../../src/formats/npy/archive';
import { openFile } from '../../../../src/formats/openFile';
import { temp } from '../../../support/temp';

/** Packed bytes that are read at once. */
const CHUNK = 2 ** 18;

/** An archive of one array x, whose packed bytes are followed by others. */
function archiveOf(data: Buffer, packed: Buffer): string {
  const name = Buffer.from('x.npy');
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(name.length, 26);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(8, 10);
  entry.writeUInt32LE(crc32(data), 16);
  entry.writeUInt32LE(packed.length, 20);
  entry.writeUInt32LE(data.length, 24);
  entry.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(entry.length + name.length, 12);
  end.writeUInt32LE(local.length + name.length + packed.length, 16);
  const file = path.join(temp(), 'x.npz');
  writeFileSync(file, Buffer.concat([local, name, packed, entry, name, end]));
  return file;
}

it.each([
  ['in one chunk', 70_000, 700_000],
  ['that end with a chunk', CHUNK - 25, 3 * CHUNK],
  ['and none', CHUNK - 25, 0],
])('reads an array that other packed bytes follow: %s', async (_, count, more) => {
  const data = Buffer.alloc(count, 7);
  const packed = Buffer.concat([deflateRawSync(data, { level: 0 }), Buffer.alloc(more)]);
  const source = await openFile(archiveOf(data, packed), 'dataset');
  try {
    const x = (await openNpz(source)).get('x')!;
    expect((await x.head(65_548)).length).toBe(65_548);
    expect(Buffer.from(await x.from(0)).equals(data)).toBe(true);
  } finally {
    await source.handle.close();
  }
});
