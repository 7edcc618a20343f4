import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../../../../src/host/runs/run';
import { writersOf } from '../../../../src/host/server/writers';
import type { RunRecord } from '../../../../src/shared/run';

interface Given {
  readonly name: string;
  readonly state?: RunSummary['state'];
  readonly adapter?: string | null;
  readonly model?: string | null;
  readonly task?: string;
  readonly method?: string;
}

function writers(given: readonly Given[]) {
  const runs = given.map(({ name, state = 'completed', adapter = null, model = null }, i) => {
    const own = { dir: `/runs/${i}`, id: `${i}`, name, state, adapter, model };
    return { ...own, base: '/models/tiny', templateVariables: null } as unknown as RunSummary;
  });
  const record = (dir: string) => {
    const { task = 'causal_lm', method = 'lora' } = given[Number(dir.split('/').at(-1))]!;
    return { recipe: { task, training: { method } } } as unknown as RunRecord;
  };
  const baseOf = (adapter: string) =>
    Promise.resolve(adapter.includes('gone') ? null : '/models/tiny');
  return writersOf({ runs, record, baseOf });
}

describe('the models of finished runs', () => {
  it('are their adapters and whole models, then each base once', async () => {
    const found = await writers([
      { name: 'words', adapter: '/a/1' },
      { name: 'words', adapter: '/a/2' },
      { name: 'whole', model: '/m', method: 'full' },
    ]);
    expect(found.map(({ name, base, adapter }) => [name, base, adapter])).toEqual([
      ['words (0)', '/models/tiny', '/a/1'],
      ['words (1)', '/models/tiny', '/a/2'],
      ['whole', '/m', null],
      ['tiny', '/models/tiny', null],
    ]);
  });

  it('leave out runs that go on, that have nothing yet, of other tasks, and without a base here', async () => {
    const found = await writers([
      { name: 'a', adapter: '/a', state: 'running' },
      { name: 'b' },
      { name: 'c', adapter: '/c', task: 'seq_cls' },
      { name: 'd', adapter: '/gone' },
    ]);
    expect(found).toEqual([]);
  });
});
