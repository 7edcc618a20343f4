// A virus scanner of Windows holds what was just written open for a moment.
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { createFile, createFolder, replaceFile } from '../../../src/common/atomicWrite';
import { FolderLock } from '../../../src/common/folderLock';

const held = vi.hoisted(() => ({ times: 0, all: 0 }));
vi.mock('node:fs/promises', async (original) => {
  const fs = await original<Record<string, (...args: unknown[]) => Promise<unknown>>>();
  const holding = (name: string) => (file: unknown, options?: unknown) => {
    const isWhole = typeof options === 'object' && options !== null && 'recursive' in options;
    if (held.times === 0 || isWhole) return fs[name]!(file, options);
    held.times--;
    held.all++;
    return Promise.reject(Object.assign(new Error('held'), { code: 'EPERM' }));
  };
  return { ...fs, rename: holding('rename'), rm: holding('rm'), rmdir: holding('rmdir') };
});

const system = process.platform;
const pretend = (platform: string) =>
  Object.defineProperty(process, 'platform', { value: platform });
beforeAll(() => pretend('win32'));
afterAll(() => pretend(system));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'lora-held-'));
  held.all = 0;
  held.times = 0;
});

it.each([
  ['created', createFile],
  ['replaced', replaceFile],
] as const)('a file is %s, and nothing is left beside it', async (_, write) => {
  held.times = 2;
  await write(path.join(folder, 'a.txt'), 'text');
  expect(held.all).toBe(2);
  expect(readdirSync(folder)).toEqual(['a.txt']);
  expect(readFileSync(path.join(folder, 'a.txt'), 'utf8')).toBe('text');
});

it('a folder is created', async () => {
  held.times = 2;
  await createFolder(path.join(folder, 'made'), () => Promise.resolve());
  expect(held.all).toBe(2);
  expect(readdirSync(folder)).toEqual(['made']);
});

it('a folder is given back', async () => {
  const lock = await FolderLock.take(folder);
  held.times = 1;
  await lock.release();
  expect(held.all).toBe(1);
  expect(readdirSync(folder)).toEqual([]);
});

it('what is held for ever is an error, and the file keeps its content', async () => {
  const file = path.join(folder, 'a.txt');
  await replaceFile(file, 'old');
  held.times = 1000;
  await expect(replaceFile(file, 'new')).rejects.toThrow();
  expect(held.all).toBeLessThan(10);
  held.times = 0;
  expect(readdirSync(folder)).toEqual(['a.txt']);
  expect(readFileSync(file, 'utf8')).toBe('old');
});
