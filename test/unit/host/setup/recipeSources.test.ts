import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { replayAmount, sourceKeys } from '../../../../src/host/setup/recipeSources';

const folder = path.resolve('/work');
const dataset = { path: path.join(folder, 'own.csv') };
const columns = { prompt: 'frage', completion: 'antwort' };
const replay = { path: 'hf://owner/rows', amount: { rows: 250 }, columns: {} };

describe('the keys of a recipe that name its rows', () => {
  it('are a path alone, with the columns that were chosen', () => {
    expect(sourceKeys({ dataset, columns: {}, replay: null }, folder)).toEqual({
      dataset: 'own.csv',
    });
    expect(sourceKeys({ dataset, columns, replay: null }, folder)).toEqual({
      dataset: 'own.csv',
      columns,
    });
  });

  it('name the part of a dataset on the Hub', () => {
    const hub = { path: 'hf://owner/rows', hub: { config: 'default', split: 'train' } };
    expect(sourceKeys({ dataset: hub, columns: {}, replay: null }, folder).dataset).toEqual({
      path: 'hf://owner/rows',
      config: 'default',
      split: 'train',
    });
    const usual = { path: 'hf://owner/rows', hub: { config: null, split: null } };
    expect(sourceKeys({ dataset: usual, columns: {}, replay: null }, folder).dataset).toEqual({
      path: 'hf://owner/rows',
    });
  });

  it('list general examples beside the own ones, which keep columns of their own', () => {
    expect(sourceKeys({ dataset, columns: {}, replay }, folder)).toEqual({
      dataset: [{ path: 'own.csv' }, { path: 'hf://owner/rows', rows: 250 }],
    });
    expect(sourceKeys({ dataset, columns, replay }, folder)).toEqual({
      dataset: [{ path: 'own.csv' }, { path: 'hf://owner/rows', rows: 250, columns: {} }],
      columns,
    });
    const mapped = { ...replay, columns: { text: 'body' } };
    expect(sourceKeys({ dataset, columns: {}, replay: mapped }, folder).dataset).toEqual([
      { path: 'own.csv' },
      { path: 'hf://owner/rows', rows: 250, columns: { text: 'body' } },
    ]);
  });
});

it('of general examples, a quarter of the own ones is drawn', () => {
  expect(replayAmount(400, 1000)).toEqual({ weight: 0.1 });
  expect(replayAmount(400, 90)).toEqual({ weight: 1 });
  expect(replayAmount(1, 3000)).toEqual({ weight: 0.00033 });
  expect(replayAmount(400, null)).toEqual({ rows: 100 });
  expect(replayAmount(null, 50)).toEqual({ rows: 1000 });
});
