import { expect, it } from 'vitest';
import { asHubDataset, hubName } from '../../../../src/host/hub/hubSplit';

it('a dataset on the Hub is known by its name or its address', () => {
  for (const typed of [
    'owner/rows',
    ' hf://owner/rows ',
    'datasets/owner/rows',
    'https://hub.example/datasets/owner/rows/',
  ])
    expect(hubName(typed)).toBe('hf://owner/rows');
  expect(hubName('owner/rows@main')).toBe('hf://owner/rows@main');
  for (const typed of ['', 'rows', 'owner/../rows', '../etc/passwd', 'owner/rows/x', 'a b/c'])
    expect(hubName(typed)).toBeNull();
});

it('what a command was invoked on is a dataset on the Hub only with its files', () => {
  const split = { path: 'hf://owner/rows', config: null, split: 'train' };
  expect(asHubDataset({ ...split, files: ['/a.parquet'] })).toEqual({
    ...split,
    files: ['/a.parquet'],
  });
  expect(asHubDataset({ ...split, files: [] })).toBeUndefined();
  expect(asHubDataset(undefined)).toBeUndefined();
});
