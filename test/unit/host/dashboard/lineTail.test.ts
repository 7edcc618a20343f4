import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LineTail } from '../../../../src/host/dashboard/lineTail';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tail-'));
  file = path.join(folder, 'metrics.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

async function read(tail: LineTail): Promise<string[]> {
  const lines: string[] = [];
  await tail.read(
    (more) => lines.push(...more),
    () => lines.push('restart'),
  );
  return lines;
}

test('a file that does not exist yet has no lines', async () => {
  const tail = new LineTail(file);
  expect(await read(tail)).toEqual([]);
  await writeFile(file, 'a\n');
  expect(await read(tail)).toEqual(['a']);
});

test('each line is returned once, and an incomplete one when it is complete', async () => {
  const tail = new LineTail(file);
  await writeFile(file, 'one\ntw');
  expect(await read(tail)).toEqual(['one']);
  await appendFile(file, 'o\nthr');
  expect(await read(tail)).toEqual(['two']);
  expect(await read(tail)).toEqual([]);
  await appendFile(file, 'ee\n');
  expect(await read(tail)).toEqual(['three']);
});

test('lines and characters that span chunks are not split', async () => {
  const lines = Array.from({ length: 200 }, (_, i) => `${i} größer 学习`);
  await writeFile(file, `${lines.join('\n')}\n`);
  expect(await read(new LineTail(file, 7))).toEqual(lines);
});

test('a truncated file is read from its start', async () => {
  const tail = new LineTail(file);
  await writeFile(file, 'one\ntwo\n');
  await read(tail);
  await writeFile(file, 'new\n');
  expect(await read(tail)).toEqual(['restart', 'new']);
});

test('a file that was replaced by a longer one is read from its start', async () => {
  const tail = new LineTail(file);
  await writeFile(file, 'one\n');
  await read(tail);
  await writeFile(`${file}.next`, 'other\nlines\n');
  await rename(`${file}.next`, file);
  expect(await read(tail)).toEqual(['restart', 'other', 'lines']);
});

test('a line that is too long is skipped, and the next ones are read', async () => {
  await writeFile(file, `first\n${'x'.repeat(6 << 20)}\nlast\n`);
  expect(await read(new LineTail(file))).toEqual(['first', 'last']);
});
