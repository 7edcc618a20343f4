import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  excludedEntry,
  excludedFileOf,
  ExcludedRows,
  readExcluded,
  rowHash,
  writeExcluded,
} from '../../../src/formats/excludedRows';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lora-excluded-'));
});
afterAll(() => rm(folder, { recursive: true }));

const line = (text: string) => Buffer.from(text);
const A = line('{"text":"a"}');
const B = line('{"text":"b"}');

describe('the hash of a row', () => {
  test('is that of its text without white space around it', () => {
    expect(rowHash(line(' {"text":"a"}\r'))).toBe(rowHash(A));
    expect(rowHash(line('{"text": "a"}'))).not.toBe(rowHash(A));
    expect(rowHash(A)).toMatch(/^[0-9a-f]{32}$/);
    expect(rowHash(line('  '))).toBe(rowHash(line('')));
  });

  test('or of its columns', () => {
    expect(rowHash({ text: 'a' })).toBe(rowHash({ text: 'a' }));
    expect(rowHash({ text: 'a' })).not.toBe(rowHash({ text: 'b' }));
    expect(rowHash({ n: 2n ** 60n })).not.toBe(rowHash({ n: 2n ** 60n + 1n }));
  });
});

test('an entry names one of equal rows', () => {
  const rows = new ExcludedRows(
    new Set([excludedEntry(rowHash(A), 2), excludedEntry(rowHash(B), 1)]),
  );
  expect([A, B, A, A, B].map((row) => rows.isExcluded(row))).toEqual([
    false,
    true,
    true,
    false,
    false,
  ]);
  expect(rows.count).toBe(2);
});

describe('the list', () => {
  test('is written beside the dataset and read again', async () => {
    const dataset = path.join(folder, 'train.jsonl');
    expect(await readExcluded(dataset)).toBeNull();
    const entries = new Set([excludedEntry(rowHash(B), 3), rowHash(A)]);
    await writeExcluded(dataset, entries);
    expect((await readExcluded(dataset))!.entries).toEqual(entries);
    expect(JSON.parse(await readFile(excludedFileOf(dataset), 'utf8'))).toEqual({
      version: 1,
      rows: [...entries].sort(),
    });
  });

  test.each([
    'nothing',
    '[]',
    '{"version":2,"rows":[]}',
    '{"version":1}',
    '{"version":1,"rows":[1]}',
    '{"version":1,"rows":["x"]}',
    `{"version":1,"rows":["${'a'.repeat(32)}:0"]}`,
  ])('is refused when it is damaged: %s', async (text) => {
    const dataset = path.join(folder, 'damaged.jsonl');
    await writeFile(excludedFileOf(dataset), text);
    await expect(readExcluded(dataset)).rejects.toThrow('The list of excluded rows is not valid.');
  });

  test('replaces a link without following it', async () => {
    const dataset = path.join(folder, 'linked.jsonl');
    const other = path.join(folder, 'other.txt');
    await writeFile(other, 'kept');
    await symlink(other, excludedFileOf(dataset));
    await writeExcluded(dataset, new Set([rowHash(A)]));
    expect(await readFile(other, 'utf8')).toBe('kept');
    expect((await readExcluded(dataset))!.entries).toEqual(new Set([rowHash(A)]));
  });
});
