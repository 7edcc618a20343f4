import { cpSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { promptImages } from '../../../../src/data/examples/batchImages';
import { openChatImages } from '../../../../src/data/images/chatImages';
import { KeptPictures } from '../../../../src/data/images/keptPictures';
import { openBase } from '../../../../src/formats/openBase';

const fixture = path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images');
const folder = mkdtempSync(path.join(tmpdir(), 'kept-'));

/** Reads pictures of one row of pixels, and counts how often. */
function counted() {
  const reads: string[] = [];
  const read = (name: string, width: number) => () => {
    reads.push(name);
    return Promise.resolve({ width, height: 1, data: new Uint8Array(3 * width) });
  };
  return { reads, read };
}

const data = (n: number) => `data:image/png;base64,${Buffer.from([n]).toString('base64')}`;

it('reads an image once, until others have taken its place', async () => {
  const { reads, read } = counted();
  const kept = new KeptPictures(30);
  await kept.of(data(1), read('a', 4));
  await kept.of(data(2), read('b', 4));
  await kept.of(data(1), read('a', 4));
  expect(reads).toEqual(['a', 'b']);
  await kept.of(data(3), read('c', 4)); // 36 bytes: b was used first
  await kept.of(data(1), read('a', 4));
  expect(reads).toEqual(['a', 'b', 'c']);
  await kept.of(data(2), read('b', 4));
  expect(reads).toEqual(['a', 'b', 'c', 'b']);
});

it('keeps none that is too large, and removes no other for it', async () => {
  const { reads, read } = counted();
  const kept = new KeptPictures(30);
  await kept.of(data(1), read('a', 4));
  await kept.of(data(2), read('large', 11));
  await kept.of(data(2), read('large', 11));
  await kept.of(data(1), read('a', 4));
  expect(reads).toEqual(['a', 'large', 'large']);
});

it('keeps no fault', async () => {
  const kept = new KeptPictures();
  await expect(kept.of(data(1), () => Promise.reject(new Error('broken')))).rejects.toThrow();
  const { reads, read } = counted();
  await kept.of(data(1), read('a', 1));
  expect(reads).toEqual(['a']);
});

it('gives the samples of a file again without reading it, and reads one that has changed', async () => {
  const base = await openBase(path.join(fixture, 'base'));
  const reader = (await openChatImages(base))!;
  await base.close();
  const file = path.join(folder, 'a.png');
  cpSync(path.join(fixture, 'chats', 'wide.png'), file);
  utimesSync(file, 1000, 1000);
  const grid = reader.gridOf(file);
  const first = await reader.samples(file, grid);
  const bytes = readFileSync(file);
  writeFileSync(file, Buffer.alloc(bytes.length));
  utimesSync(file, 1000, 1000);
  expect(await reader.samples(file, grid)).toEqual(first);
  utimesSync(file, 1000, 2000);
  await expect(reader.samples(file, grid)).rejects.toThrow('neither a PNG nor a JPEG');
  writeFileSync(file, bytes);
  expect(await reader.samples(file, grid)).toEqual(first);
  cpSync(path.join(fixture, 'chats', 'tall.png'), file);
  await expect(reader.samples(file, grid)).rejects.toThrow('another size');
});

it('names an image of a prompt otherwise once its file has changed', async () => {
  const base = await openBase(path.join(fixture, 'base'));
  const reader = (await openChatImages(base))!;
  await base.close();
  const file = path.join(folder, 'b.png');
  cpSync(path.join(fixture, 'chats', 'wide.png'), file);
  utimesSync(file, 1000, 1000);
  const grid = reader.gridOf(file);
  const image = { file, at: 1, tokens: 1, grid };
  const { placed } = promptImages(3, [image], reader)!;
  const key = await placed[0]!.key();
  expect(await placed[0]!.key()).toBe(key);
  utimesSync(file, 1000, 2000);
  expect(await placed[0]!.key()).not.toBe(key);
});
