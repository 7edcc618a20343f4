import { describe, expect, it } from 'vitest';
import { fits, groupRuns } from '../../../../src/host/runs/arrangeRuns';
import { collectRun } from '../../../../src/host/runs/run';
import { fullRecord, recordOf, summaryOf } from '../../../support/runRecords';

describe('groups and filters of the Runs view', () => {
  it('group equal values, unknown ones last', () => {
    const broken = collectRun({ kind: 'broken', dir: '/w/b', created: 0, problem: 'x' }, null);
    const [a, b] = [
      summaryOf(),
      summaryOf({ recipe: { ...recordOf().recipe, base: '/models/other.gguf' } }),
    ];
    expect(
      groupRuns([broken, a, b, a], 'base').map(({ label, runs }) => [label, runs.length]),
    ).toEqual([
      ['m.gguf', 2],
      ['other.gguf', 1],
      ['Other', 1],
    ]);
    expect(groupRuns([broken, a], 'state').map(({ label }) => label)).toEqual([
      'Unreadable',
      'Completed',
    ]);
  });

  it('match any word that describes a run', () => {
    const run = summaryOf({}, { name: 'Nightly', tags: ['small'], note: 'more rows' });
    for (const text of [
      '',
      'night',
      '#small',
      'rows COMPLETED',
      'r4',
      'm.gguf',
      'd.jsonl',
      'lora.json',
    ])
      expect(fits(run, text), text).toBe(true);
    for (const text of ['nightly failed', '#rows', 'r8']) expect(fits(run, text), text).toBe(false);
    expect(fits(summaryOf(fullRecord()), 'full')).toBe(true);
  });
});
