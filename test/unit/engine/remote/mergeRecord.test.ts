import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { localPath, mergeRecord } from '../../../../src/engine/remote/mergeRecord';
import { newRecord } from '../../../../src/engine/run/runFolder';
import { RecipeSchema } from '../../../../src/shared/recipe';

const HOUR = 3_600_000;
const recipe = v.parse(RecipeSchema, { base: '/here/base', dataset: '/here/train.jsonl' });
const local = newRecord(mkdtempSync(path.join(tmpdir(), 'merge-')), {
  recipe,
  recipe_path: '/here/lora.json',
  extension: '0.1.0',
  git_commit: 'abc',
});
const sent = { abc123: '/here', def456: '/here/base' };
const there = {
  ...local,
  id: 'another',
  name: 'another',
  git_commit: null,
  recipe: { ...recipe, base: '/there/items/def456' },
  state: 'failed',
  started: '2026-01-01T01:00:00.000Z',
  error: {
    area: 'dataset',
    message: 'The row is not valid.',
    place: { file: '/there/items/abc123/train.jsonl', line: 3 },
  },
};
const merge = (change: object, clock_ahead: number | null = null) =>
  mergeRecord(local, { ...there, ...change }, { sent, clock_ahead });

describe("a run's record with what its target says", () => {
  it('keeps what is of this machine', () => {
    const { id, name, git_commit, recipe: own, state, recipe_path } = merge({})!;
    expect([id, name, git_commit, own, recipe_path]).toEqual([
      local.id,
      local.name,
      'abc',
      recipe,
      '/here/lora.json',
    ]);
    expect(state).toBe('failed');
  });

  it('has the times of this clock and the files of this machine', () => {
    expect(merge({}, HOUR)!.started).toBe('2026-01-01T00:00:00.000Z');
    expect(merge({})!.error!.place).toEqual({ file: path.join('/here', 'train.jsonl'), line: 3 });
  });

  it.each([
    ['an unknown state', { state: 'interrupted' }],
    ['a path out of the folder', { result: { ...local.result, adapter: '../../etc' } }],
    ['a text as a number', { total_steps: '12' }],
    ['a number that is none', { result: { ...local.result, last_loss: 'NaN' } }],
    ['another version', { version: 2 }],
    ['a time that is none', { started: 'soon' }],
    ['a huge text', { error: { area: 'run', message: 'x'.repeat(200_000) } }],
    ['an unknown area', { error: { area: '__proto__', message: '' } }],
  ])('is refused with %s', (_, change) => {
    expect(merge(change)).toBeNull();
  });

  it.each([null, 'text', [], 7, {}])('is refused when it is %j', (value) => {
    expect(mergeRecord(local, value, { sent, clock_ahead: null })).toBeNull();
  });

  it('has no place here for paths that were not sent', () => {
    expect(localPath('/there/items/def456/config.json', sent)).toBe(
      path.join('/here/base', 'config.json'),
    );
    for (const place of ['/there/items/abc123/../x', '/etc/passwd', '/items/__proto__/x'])
      expect(localPath(place, sent)).toBe(place);
  });
});
