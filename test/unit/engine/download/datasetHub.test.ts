import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readData } from '../../../../src/data/dataset/prepare';
import { downloadSplit, hubFiles, listSplits } from '../../../../src/engine/download/datasetHub';
import { sourcesOf, type DatasetSetting } from '../../../../src/shared/datasetSources';
import { LoraError } from '../../../../src/shared/errors';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { startHub, type FakeHub } from '../../../support/hub.mjs';

const COMMIT = 'c0ffee'.padEnd(40, '0');
const shard = (from: number, count: number) =>
  Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: 'question', data: Array.from({ length: count }, (_, i) => `q${from + i}`) },
        { name: 'answer', data: Array.from({ length: count }, (_, i) => `a${from + i}`) },
      ],
    }),
  );
const FILES = {
  'default/train/0000.parquet': shard(0, 4),
  'default/train/0001.parquet': shard(4, 4),
  'default/test/0000.parquet': shard(100, 2),
  'german/train/0000.parquet': shard(200, 3),
};
let hub: FakeHub;

beforeEach(async () => {
  hub = await startHub({ files: {}, dataset: { commit: COMMIT, files: FILES } });
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('LORA_DATASETS_HOME', mkdtempSync(path.join(tmpdir(), 'hub-')));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
});

const { signal } = new AbortController();
const download = (dataset: DatasetSetting) => downloadSplit(sourcesOf(dataset)[0]!, { signal });
const requested = () => hub.starts.map(([name]) => name);
const read = (dataset: DatasetSetting) =>
  readData(v.parse(RecipeSchema, { base: 'none', dataset }), null, { hub: hubFiles() });

describe('a dataset on the Hub', () => {
  it('is read from its Parquet files, which are kept, with the commit that they are from', async () => {
    const { datasets, sources } = await read('hf://owner/rows');
    expect(datasets.map(({ rows, problems }) => [rows, problems])).toEqual([
      [4, []],
      [4, []],
    ]);
    expect(sources![0]).toMatchObject({ revision: COMMIT, from: 0, to: 2 });
    expect(requested()).toEqual(['default/train/0000.parquet', 'default/train/0001.parquet']);
    await read('hf://owner/rows');
    expect(requested()).toHaveLength(2);
  });

  it('is downloaded only as far as its first rows need', async () => {
    const { datasets } = await read({ path: 'hf://owner/rows', rows: 3 });
    expect(datasets.map(({ rows }) => rows)).toEqual([3]);
    expect(requested()).toEqual(['default/train/0000.parquet']);
  });

  it('has configurations and splits, which are named where one is missing', async () => {
    await download({ path: 'hf://owner/rows', config: 'german' });
    await download({ path: 'hf://owner/rows', split: 'test' });
    expect(requested()).toEqual(['german/train/0000.parquet', 'default/test/0000.parquet']);
    await expect(download({ path: 'hf://owner/rows', split: 'dev' })).rejects.toMatchObject({
      area: 'dataset',
      message: 'The dataset has no split "dev".',
      fix: 'Name one by "split": test, train.',
    });
    await expect(download({ path: 'hf://owner/rows', config: 'x' })).rejects.toMatchObject({
      fix: 'Name one by "config": default, german.',
    });
  });

  it('tells how far its download is, and ends it where that throws', async () => {
    const told: string[] = [];
    const files = hubFiles({ info: (text) => told.push(text) });
    await files(sourcesOf('hf://owner/rows')[0]!);
    expect(told[0]).toMatch(/^Downloading hf:\/\/owner\/rows: \d+%$/);
    expect(told.at(-1)).toBe('Downloading hf://owner/rows: 100%');
    await files(sourcesOf('hf://owner/rows')[0]!);
    expect(told.filter((text) => text.endsWith('100%'))).toHaveLength(1);
    const stopped = hubFiles({
      check: () => {
        throw new LoraError('cancelled', 'stopped');
      },
    });
    await expect(
      stopped(sourcesOf({ path: 'hf://owner/rows', split: 'test' })[0]!),
    ).rejects.toThrow('stopped');
  });

  it('lists its configurations and splits, without a download', async () => {
    const splits = await listSplits(sourcesOf('hf://owner/rows')[0]!, signal);
    expect(splits.map(({ config, split }) => `${config}/${split}`)).toEqual([
      'default/train',
      'default/test',
      'german/train',
    ]);
    const train = FILES['default/train/0000.parquet'].length * 2;
    expect(splits[0]!.bytes).toBeGreaterThan(train - 100);
    expect(requested()).toEqual([]);
  });

  it('is read without a connection where a commit is named and its files are here', async () => {
    const pinned = { path: `hf://owner/rows@${COMMIT}`, split: 'test' };
    const first = await download(pinned);
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1');
    expect(await download(pinned)).toEqual(first);
  });

  it('is resumed after a lost connection, and refused with another checksum', async () => {
    hub.change({ breakAfter: 100 });
    await expect(download({ path: 'hf://owner/rows', split: 'test' })).rejects.toMatchObject({
      area: 'dataset',
      message: expect.stringContaining('connection was lost') as unknown,
    });
    hub.change({ breakAfter: undefined });
    await download({ path: 'hf://owner/rows', split: 'test' });
    expect(hub.starts.map(([, start]) => start)).toEqual([0, 100]);
    hub.change({ tamper: (bytes) => Buffer.alloc(bytes.length) });
    await expect(download('hf://owner/rows')).rejects.toMatchObject({
      message: expect.stringContaining('checksum differs') as unknown,
    });
  });

  it('is refused where it is not there, or its name is none', async () => {
    await expect(download('hf://owner/other')).rejects.toMatchObject({
      area: 'dataset',
      message: 'The Hub has no dataset owner/other.',
    });
    for (const name of ['hf://owner', 'hf://a/../b', 'hf://owner/rows?x'])
      await expect(download(name)).rejects.toMatchObject({
        message: expect.stringContaining('is not the name of a dataset') as unknown,
      });
  });
});
