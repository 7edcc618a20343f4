import { expect, it, vi } from 'vitest';
import { datasetOf } from '../../../../src/host/dataPage/subject';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());

it('Train Adapter gets all files of a dataset on the Hub, the one that is shown first', () => {
  const split = { path: 'hf://owner/rows', config: null, split: 'train' };
  const files = ['/cache/0.parquet', '/cache/1.parquet'];
  const shown = { file: files[1]!, recipe: null, base: null };
  expect(datasetOf({ ...shown, source: JSON.stringify({ ...split, files }) })).toEqual({
    ...split,
    files: [files[1], files[0]],
  });
  const folder = JSON.stringify({ ...split, path: '/rows', split: null, files: [files[1]] });
  expect(datasetOf({ ...shown, source: folder })).toMatchObject({ fsPath: '/rows' });
  expect(datasetOf({ ...shown, source: null })).toMatchObject({ fsPath: files[1] });
});
