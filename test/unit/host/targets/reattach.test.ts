import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../../../../src/host/runs/run';
import { Reattachment } from '../../../../src/host/targets/reattach';
import { remoteSummary, summaryOf } from '../../../support/runRecords';

const UNATTENDED = { kind: 'unattended', since: 0 } as const;
const PAUSES = [1, 1, 1];

function watch(runs: readonly RunSummary[], options: { trusted?: boolean; usable?: boolean } = {}) {
  const { trusted = true, usable = true } = options;
  const attached: string[] = [];
  const logged: string[] = [];
  const listeners = new Set<() => void>();
  const store = {
    runs,
    find: (dir: string) => store.runs.find((run) => run.dir === dir),
    onDidChange: (listener: () => void) => {
      listeners.add(listener);
      return { dispose: () => listeners.delete(listener) };
    },
  };
  const fails = { now: false };
  const reattachment = new Reattachment(
    {
      store,
      mayStart: () => trusted,
      mayUse: () => Promise.resolve(usable),
      attach: ({ dir }) => {
        attached.push(dir);
        return fails.now ? Promise.reject(new Error('no route')) : Promise.resolve();
      },
      log: (message) => logged.push(message),
    },
    PAUSES,
  );
  const settle = async () => {
    for (const listener of listeners) listener();
    await wait(60);
  };
  return { store, attached, logged, fails, reattachment, settle };
}

describe('runs whose mirror has ended', () => {
  it('are connected again, a few times at most', async () => {
    const run = remoteSummary('running', UNATTENDED);
    const { attached, logged, fails, settle, reattachment } = watch([run]);
    fails.now = true;
    await settle();
    await settle();
    expect(attached).toEqual([run.dir, run.dir, run.dir]);
    expect(logged[0]).toContain('no route');
    reattachment.dispose();
  });

  it('are not connected twice when the first attempt has worked', async () => {
    const run = remoteSummary('running', UNATTENDED);
    const { store, attached, settle, reattachment } = watch([run]);
    setTimeout(() => (store.runs = [remoteSummary('running')]), 0);
    await wait(5);
    await settle();
    expect(attached.length).toBeLessThanOrEqual(1);
    reattachment.dispose();
  });

  it.each([
    ['the run is connected', [remoteSummary('running')], {}],
    ['the run has ended', [remoteSummary('completed', { kind: 'ended' })], {}],
    ['no job was started', [remoteSummary('preparing', UNATTENDED, { handle: null })], {}],
    ['the run is one of this machine', [summaryOf({ state: 'running' })], {}],
    ['the workspace is not trusted', [remoteSummary('running', UNATTENDED)], { trusted: false }],
    ['the user has not agreed', [remoteSummary('running', UNATTENDED)], { usable: false }],
  ] as const)('are left alone when %s', async (_, runs, options) => {
    const { attached, settle, reattachment } = watch(runs, options);
    await settle();
    expect(attached).toEqual([]);
    reattachment.dispose();
  });

  it('are left alone once the window closes', async () => {
    const { attached, reattachment } = watch([remoteSummary('running', UNATTENDED)]);
    reattachment.update();
    reattachment.dispose();
    await wait(20);
    expect(attached).toEqual([]);
  });
});
