import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDataset, type Dataset } from '../../../../src/data/dataset/dataset';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { Row } from '../../../../src/data/rows/row';
import { checkFingerprints } from '../../../../src/engine/run/fingerprint';
import {
  excludedEntry,
  excludedFileOf,
  rowHash,
  writeExcluded,
} from '../../../../src/formats/excludedRows';
import { sourcesOf } from '../../../../src/targets/bundle/itemFiles';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lora-excluded-rows-'));
});
afterAll(() => rm(folder, { recursive: true }));

const LINES = ['{"text":"a"}', '{"text":"b"}', '{"broken', '{"text":"a"}'];
const entry = (line: string, copy = 1) => excludedEntry(rowHash(Buffer.from(line)), copy);

async function dataset(name: string, entries: readonly string[] | null): Promise<Dataset> {
  const file = path.join(folder, name);
  await writeFile(file, LINES.join('\n'));
  if (entries) await writeExcluded(file, new Set(entries));
  return openDataset(file, ROW_SETTINGS);
}

async function linesOf(own: Dataset): Promise<number[]> {
  const rows: Row[] = [];
  await own.forEachRow((row) => rows.push(row));
  return rows.map(({ line }) => line);
}

describe('excluded rows of a dataset', () => {
  test('are left out, with what is wrong in them', async () => {
    const own = await dataset('a.jsonl', [entry('{"text":"a"}', 2), entry('{"broken')]);
    expect(own).toMatchObject({ rows: 2, excludedRows: 2, problems: [], skippedRows: 0 });
    expect(await linesOf(own)).toEqual([1, 2]);
    expect(own.excludedList).toMatchObject({ file: excludedFileOf(own.path) });
  });

  test('of no list are none', async () => {
    const own = await dataset('b.jsonl', null);
    expect(own).toMatchObject({ rows: 3, excludedRows: 0, excludedList: null });
  });

  test('cannot be all', async () => {
    const all = [entry(LINES[0]!), entry(LINES[1]!), entry(LINES[2]!), entry(LINES[3]!, 2)];
    const own = await dataset('c.jsonl', all);
    expect(own.problems.map(({ message }) => message)).toEqual([
      'All rows of the dataset are excluded: include some of them again.',
    ]);
  });

  test('are refused when their list is damaged, which is named', async () => {
    const file = path.join(folder, 'd.jsonl');
    await writeFile(excludedFileOf(file), '{"version":1}');
    const own = await dataset('d.jsonl', null);
    expect(own.fingerprint).toBeNull();
    expect(own.problems).toMatchObject([
      { severity: 'error', place: { file: excludedFileOf(file) } },
    ]);
  });

  test('must not change between two readings', async () => {
    const own = await dataset('e.jsonl', [entry('{"broken')]);
    await writeExcluded(own.path, new Set([entry('{"broken'), entry(LINES[1]!)]));
    await expect(linesOf(own)).rejects.toThrow('changed');
  });

  test('of a run must stay as they were', async () => {
    const own = await dataset('f.jsonl', null);
    const before = [own.fingerprint!];
    await checkFingerprints(before);
    await writeExcluded(own.path, new Set([entry('{"broken')]));
    await expect(checkFingerprints(before)).rejects.toThrow('Rows have been excluded');
    const listed = await openDataset(own.path, ROW_SETTINGS);
    const both = [listed.fingerprint!, listed.excludedList!];
    await checkFingerprints(both);
    await writeExcluded(own.path, new Set([entry(LINES[1]!)]));
    await expect(checkFingerprints(both)).rejects.toThrow('has changed');
  });

  test('are sent to a target with the dataset', async () => {
    const own = await dataset('g.jsonl', [entry('{"broken')]);
    const base = { task: 'causal_lm', base: '/no-base' } as const;
    const recipe = { ...base, dataset: own.path, columns: {} };
    const named = { key: 'dataset', kind: 'dataset', file: own.path, recipe } as const;
    expect((await sourcesOf(named)).files.map((file) => file.path)).toEqual([
      'g.jsonl',
      'g.jsonl.excluded.json',
    ]);
  });
});
