import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { cachedHash } from '../../../src/common/hashCache';

const BYTES = 16 * 2 ** 20;
const folder = mkdtempSync(path.join(tmpdir(), 'hashes-'));
const cache = path.join(folder, 'cache', 'hashes.json');
const file = path.join(folder, 'weights');
const content = Buffer.alloc(BYTES, 7);
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** The hash, and how many bytes were reported in how many parts. */
async function hashOf(name: string, at = cache) {
  const parts: number[] = [];
  const hash = await cachedHash(name, { onBytes: (count) => parts.push(count) }, at);
  return { hash, isRead: parts.length > 1, bytes: parts.reduce((sum, part) => sum + part, 0) };
}

/** Waits until the file is older than what may still change. */
async function settle(name: string) {
  const { ctimeMs } = await stat(name);
  while (Date.now() - ctimeMs <= 2_100) await wait(100);
}

beforeAll(async () => {
  writeFileSync(file, content);
  await settle(file);
});

describe('the hash of a large file', () => {
  it('is read once, until the file changes', async () => {
    const expected = { hash: sha256(content), bytes: BYTES };
    expect(await hashOf(file)).toEqual({ ...expected, isRead: true });
    expect(await hashOf(file)).toEqual({ ...expected, isRead: false });

    const { atime, mtime } = await stat(file);
    const handle = await open(file, 'r+');
    await handle.write(Buffer.from([8]), 0, 1, 0);
    await handle.close();
    // a program that hides the change by the time of writing
    utimesSync(file, atime, mtime);
    const changed = Buffer.from(content);
    changed[0] = 8;
    expect(await hashOf(file)).toEqual({ hash: sha256(changed), bytes: BYTES, isRead: true });
  });

  it('is not kept of a file that has just been written, nor of a small one', async () => {
    const own = path.join(folder, 'own', 'hashes.json');
    const [fresh, small] = [path.join(folder, 'fresh'), path.join(folder, 'small')];
    writeFileSync(fresh, content);
    writeFileSync(small, 'small');
    expect((await hashOf(fresh, own)).hash).toBe(sha256(content));
    expect((await hashOf(small, own)).hash).toBe(sha256(Buffer.from('small')));
    expect(existsSync(own)).toBe(false);
  });

  it('is read again where another file took its place, or the cache is not valid', async () => {
    await settle(file);
    await hashOf(file);
    expect((await hashOf(file)).isRead).toBe(false);
    const other = path.join(folder, 'other');
    writeFileSync(other, Buffer.alloc(BYTES, 9));
    renameSync(other, file);
    expect((await hashOf(file)).hash).toBe(sha256(Buffer.alloc(BYTES, 9)));
    for (const text of [
      '',
      '{}',
      '[null]',
      '[{"file": 1}]',
      readFileSync(cache, 'utf8').slice(9),
    ]) {
      writeFileSync(cache, text);
      expect((await hashOf(file)).hash).toBe(sha256(Buffer.alloc(BYTES, 9)));
    }
  });
});
