import { describe, expect, it } from 'vitest';
import { collectRun } from '../../../../src/host/runs/run';
import { tableRowOf } from '../../../../src/host/runs/tableRow';
import { fitsFilter, parseRunFilter } from '../../../../src/shared/runFilter';
import type { RunRecord } from '../../../../src/shared/run';
import { fullRecord, recordOf, summaryOf } from '../../../support/runRecords';

const night = summaryOf({}, { name: 'Nightly', tags: ['small'], note: 'more rows' });
const record = recordOf({
  started: '2026-01-02T03:04:05.000Z',
  ended: '2026-01-02T03:05:35.000Z',
  trainable_parameters: 9216,
});

describe('a row of the table of runs', () => {
  it('holds the numbers and names of a run', () => {
    const row = tableRowOf(night, record);
    expect(row).toMatchObject({
      name: 'Nightly',
      tags: ['small'],
      numbers: { r: 4, alpha: 16, loss: 1.25, training: 1.5, time: 90, parameters: 9216 },
      texts: { state: 'Completed', base: 'm.gguf', tags: '#small', targets: 'all-linear' },
    });
  });

  it('has the score of the suites at the end, unless that is damaged', () => {
    const { result } = record;
    const rowOf = (evaluation: unknown) =>
      tableRowOf(
        summaryOf({ result: { ...result, evaluation } as unknown as RunRecord['result'] }),
        record,
      );
    const evaluation = { score: 0.8, base: 0.5, verdict: 'better', rows: 40 };
    expect(rowOf(evaluation).numbers.suites).toBe(0.8);
    expect(fitsFilter(rowOf(evaluation), parseRunFilter('suite>=0.8'))).toBe(true);
    for (const damaged of [undefined, null, { score: 'x' }])
      expect(rowOf(damaged).numbers.suites).toBeNull();
  });

  it('leaves out what is missing from a run.json of others', () => {
    const foreign = { ...record, started: 7, recipe: { lora: 'x', training: null } };
    const row = tableRowOf(night, foreign as unknown as RunRecord);
    expect(row.numbers).toMatchObject({ alpha: null, time: null, batch: null, rate: null });
    const broken = collectRun({ kind: 'broken', dir: '/w/b', created: 0, problem: 'x' }, null);
    expect(tableRowOf(broken, undefined)).toMatchObject({ name: 'b', numbers: { loss: null } });
  });
});

describe('a filter of runs', () => {
  const fits = (text: string, run = night) =>
    fitsFilter(tableRowOf(run, record), parseRunFilter(text));

  it('finds words in all that describes a run', () => {
    const words = ['', 'night', '#small', 'rows COMPLETED', 'r4', 'm.gguf', 'd.jsonl', 'lora.json'];
    for (const text of words) expect(fits(text), text).toBe(true);
    for (const text of ['nightly failed', '#rows', 'r8']) expect(fits(text), text).toBe(false);
    expect(fits('full', summaryOf(fullRecord()))).toBe(true);
  });

  it('compares numbers, and joins all parts with and', () => {
    for (const text of [
      'loss<1.3 r>=4',
      'loss <= 1.25',
      'rank=4',
      'steps!=8 night',
      'lr<1',
      'validation>1e-3',
    ])
      expect(fits(text), text).toBe(true);
    for (const text of ['loss<0.4 r>=4', 'r>4', 'time>90', 'loss<1.3 other'])
      expect(fits(text), text).toBe(false);
  });

  it('takes an unknown name for a word, and an unknown number for one that fits nothing', () => {
    expect(fits('speed>3')).toBe(false);
    expect(fits('r>0', summaryOf(fullRecord()))).toBe(false);
    expect(fits('r!=3', summaryOf(fullRecord()))).toBe(false);
  });
});
