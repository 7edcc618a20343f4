import { describe, expect, it } from 'vitest';
import { arrangeRuns, describeGroup, type RunGroup } from '../../../../src/host/runs/arrangeRuns';
import { collectRun } from '../../../../src/host/runs/run';
import { recordOf, summaryOf } from '../../../support/runRecords';

const groupsOf = (...args: Parameters<typeof arrangeRuns>) =>
  arrangeRuns(...args).filter((row) => 'runs' in row);

describe('groups of the Runs view', () => {
  it('group equal values, unknown ones last', () => {
    const broken = collectRun({ kind: 'broken', dir: '/w/b', created: 0, problem: 'x' }, null);
    const [a, b] = [
      summaryOf(),
      summaryOf({ recipe: { ...recordOf().recipe, base: '/models/other.gguf' } }),
    ];
    expect(
      groupsOf([broken, a, b, a], 'base').map(({ label, runs }) => [label, runs.length]),
    ).toEqual([
      ['m.gguf', 2],
      ['other.gguf', 1],
      ['Other', 1],
    ]);
    expect(groupsOf([broken, a], 'state').map(({ label }) => label)).toEqual([
      'Unreadable',
      'Completed',
    ]);
  });

  it('group by rank', () => {
    const of = (r: number) => {
      const { recipe } = recordOf();
      return summaryOf({ recipe: { ...recipe, lora: { ...recipe.lora, r } } });
    };
    expect(
      groupsOf([of(8), of(2), of(8)], 'rank').map(({ label, runs }) => [label, runs.length]),
    ).toEqual([
      ['r8', 2],
      ['r2', 1],
    ]);
  });

  it('fold the runs of a sweep into one row, where its newest run is', () => {
    const swept = (n: number, changes: Parameters<typeof summaryOf>[0] = {}) =>
      summaryOf(
        { recipe_path: `/w/.lora/sweeps/20260101-000000-abcd-git/r${n}.lora.json`, ...changes },
        undefined,
        `/w/.lora/runs/s${n}`,
      );
    const other = summaryOf();
    const rows = arrangeRuns([swept(4, { state: 'running' }), other, swept(2), swept(1)], 'none');
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({
      label: 'Ranks of git',
      sweep: '/w/.lora/sweeps/20260101-000000-abcd-git',
    });
    expect(rows[1]).toBe(other);
    expect(describeGroup(rows[0] as RunGroup)).toBe('2 of 3 completed · best r4 · 1.250');
    const scored = (r: number, value: number) =>
      swept(r, {
        state: 'completed',
        result: { ...recordOf().result, best_metric: { name: 'accuracy', value } },
        recipe: { ...recordOf().recipe, lora: { ...recordOf().recipe.lora, r } },
      });
    const [group] = arrangeRuns([scored(2, 0.5), scored(8, 0.75), scored(4, 0.25)], 'none');
    expect(describeGroup(group as RunGroup)).toBe('3 runs · best r8 · accuracy 0.750');
  });
});
