import { describe, expect, it } from 'vitest';
import { mergeTargets } from '../../../../src/host/targets/mergeTargets';
import { choices } from '../../../../src/host/targets/targetChoices';
import { parseTargets } from '../../../../src/targets/targetList';

const own = parseTargets(
  JSON.stringify([
    { name: 'box', kind: 'ssh', host: 'me@box' },
    { name: 'cluster', kind: 'ray', address: 'http://head:8265' },
    { name: 'queue', kind: 'slurm', host: 'login' },
  ]),
  '/t.json',
);
const brought = parseTargets(
  JSON.stringify([
    { name: 'lab', kind: 'ray', address: 'http://lab:8265' },
    { name: 'queue', kind: 'ssh', host: 'elsewhere' },
    { name: 'other', kind: 'slurm', host: 'login', config: '/w/ssh' },
  ]),
  '/w/t.json',
);
const list = {
  ...mergeTargets([
    { origin: { kind: 'file' }, targets: own },
    { origin: { kind: 'workspace', file: '/w/t.json' }, targets: brought },
  ]),
  problems: [],
};
const rowsOf = (states: [string, string][] = [], withHere = true) =>
  choices(list, new Map(states), withHere).map(({ label, description, detail, value }) => ({
    label,
    description,
    detail,
    kind: value?.kind,
  }));

describe('the question where to train', () => {
  it('offers targets of every kind, those of the workspace apart', () => {
    const [, ...rows] = rowsOf([['cluster', '4 machines']]);
    const connecting = { detail: 'connecting…', kind: 'target' };
    expect(rows.slice(0, 6)).toEqual([
      { label: 'Your targets', description: undefined, detail: undefined, kind: undefined },
      { label: 'box', description: 'SSH · me@box', ...connecting },
      {
        label: 'cluster',
        description: 'Ray · http://head:8265',
        detail: '4 machines',
        kind: 'target',
      },
      { label: 'queue', description: 'Slurm · login', ...connecting },
      { label: 'From this workspace', description: undefined, detail: undefined, kind: undefined },
      {
        label: 'lab',
        description: 'Ray · http://lab:8265',
        detail: 'you are asked before it is used',
        kind: 'target',
      },
    ]);
  });

  it('does not offer what a workspace must not bring', () => {
    const left = rowsOf().filter(({ detail }) => detail?.startsWith('left out'));
    expect(left).toMatchObject([
      { label: 'queue', detail: 'left out: the name is taken', kind: undefined },
      {
        label: 'other',
        detail: 'left out: a workspace must not name an ssh configuration',
        kind: undefined,
      },
    ]);
  });

  it('offers this machine where it can be chosen, and to describe a target', () => {
    expect(rowsOf()[0]).toMatchObject({ label: 'This Machine', kind: 'here' });
    expect(rowsOf([], false)[0]!.label).toBe('Your targets');
    expect(rowsOf().at(-1)).toMatchObject({ label: 'Add Target…', kind: 'add' });
  });
});
