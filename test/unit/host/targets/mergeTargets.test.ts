import { describe, expect, it } from 'vitest';
import {
  contentHash,
  mergeTargets,
  mustAsk,
  type TargetOrigin,
} from '../../../../src/host/targets/mergeTargets';
import { parseTargets } from '../../../../src/targets/targetList';

const entries = (...list: readonly object[]) => parseTargets(JSON.stringify(list), '/t.json');
const ssh = (name: string, more: object = {}) => ({ name, kind: 'ssh', host: name, ...more });
const FILE: TargetOrigin = { kind: 'file' };
const SETTING: TargetOrigin = { kind: 'setting' };
const WORKSPACE: TargetOrigin = { kind: 'workspace', file: '/w/.lora/targets.json' };

describe('targets of several sources', () => {
  it('are listed in their order, of equal names the first', () => {
    const { targets, leftOut } = mergeTargets([
      { origin: FILE, targets: entries(ssh('a'), ssh('b')) },
      { origin: SETTING, targets: entries(ssh('b', { host: 'other' }), ssh('c')) },
      { origin: WORKSPACE, targets: entries(ssh('a', { host: 'stranger' }), ssh('d')) },
    ]);
    expect(targets.map(({ entry, origin }) => [entry.name, origin.kind])).toEqual([
      ['a', 'file'],
      ['b', 'file'],
      ['c', 'setting'],
      ['d', 'workspace'],
    ]);
    expect(leftOut.map(({ entry, why }) => [entry.name, why])).toEqual([
      ['b', 'name taken'],
      ['a', 'name taken'],
    ]);
  });

  it('take no ssh configuration from a workspace: it can name a program to start', () => {
    const own = entries(ssh('a', { config: '/home/me/config' }));
    const brought = entries(ssh('b', { config: './config' }), ssh('c'));
    const { targets, leftOut } = mergeTargets([
      { origin: FILE, targets: own },
      { origin: WORKSPACE, targets: brought },
    ]);
    expect(targets.map(({ entry }) => entry.name)).toEqual(['a', 'c']);
    expect(leftOut).toMatchObject([{ entry: { name: 'b' }, why: 'ssh configuration' }]);
  });

  it('are asked about when the workspace brings them, until the user agrees to what they say', () => {
    const [entry] = entries(ssh('a'));
    const [changed] = entries(ssh('a', { env: ['HF_TOKEN'] }));
    const agreed = new Set([contentHash(entry!)]);
    expect(mustAsk({ entry: entry!, origin: WORKSPACE }, new Set())).toBe(true);
    expect(mustAsk({ entry: entry!, origin: WORKSPACE }, agreed)).toBe(false);
    expect(mustAsk({ entry: changed!, origin: WORKSPACE }, agreed)).toBe(true);
    expect(mustAsk({ entry: entry!, origin: FILE }, new Set())).toBe(false);
    expect(mustAsk({ entry: entry!, origin: SETTING }, new Set())).toBe(false);
  });

  it('have the same hash in whatever order their keys stand', () => {
    const [a] = entries({ name: 'a', kind: 'ssh', host: 'b' });
    const [b] = entries({ host: 'b', kind: 'ssh', name: 'a' });
    expect(contentHash(a!)).toBe(contentHash(b!));
  });
});
