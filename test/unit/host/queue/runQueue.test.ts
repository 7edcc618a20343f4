import { describe, expect, it } from 'vitest';
import { continueQueued } from '../../../../src/host/queue/continueQueued';
import { moved, placeOf, RunQueue, type QueuedRun } from '../../../../src/host/queue/runQueue';
import type { RunSummary } from '../../../../src/host/runs/run';
import { remoteSummary, summaryOf } from '../../../support/runRecords';

/** A queue with a simulated store of runs. `started`: recipes of started runs; `end` ends a run. */
function queueWith(start?: (item: QueuedRun) => Promise<boolean>, kept?: unknown) {
  const memory = new Map<string, unknown>([['lora.queue', kept]]);
  const started: string[] = [];
  const reported: unknown[] = [];
  const listeners: (() => void)[] = [];
  const store = {
    runs: [] as RunSummary[],
    refresh: () => Promise.resolve(),
    onDidChange: (listener: () => void) => {
      listeners.push(listener);
      return { dispose: () => undefined };
    },
  };
  const queue = new RunQueue({
    memory: {
      get: (key) => memory.get(key),
      update: (key, value) => {
        memory.set(key, value);
        return Promise.resolve();
      },
    },
    store,
    mayStart: () => true,
    report: (error) => reported.push(error),
    start:
      start ??
      ((item) => {
        started.push(placeOf(item));
        store.runs = [summaryOf({ state: 'running' })];
        return Promise.resolve(true);
      }),
  });
  const end = async () => {
    store.runs = [];
    for (const listener of listeners) listener();
    await new Promise(setImmediate);
  };
  return { queue, started, reported, memory, store, end };
}

describe('the queue', () => {
  it('starts as many runs on a target as may be active there, whatever trains here', async () => {
    const started: string[] = [];
    const { queue, store, end } = queueWith((item) => {
      started.push(placeOf(item));
      store.runs = [...store.runs, 'on' in item ? remoteSummary('preparing') : summaryOf()];
      return Promise.resolve(true);
    });
    const on = { target: 'gpu-box', parallel: 2 };
    store.runs = [summaryOf({ state: 'running' }), remoteSummary('running')];
    await queue.add([{ recipe: 'here' }, { recipe: 'a', on }, { recipe: 'b', on }]);
    expect(started).toEqual(['a']);
    await end();
    expect(started).toEqual(['a', 'here', 'b']);
  });

  it('does not wait for a run on a target', async () => {
    const { queue, started, store } = queueWith();
    store.runs = [remoteSummary('running'), remoteSummary('preparing')];
    await queue.add([{ recipe: 'a' }]);
    expect(started).toEqual(['a']);
  });

  it('starts one run after another, each when none is active', async () => {
    const { queue, started, memory, end } = queueWith();
    await queue.add([{ recipe: 'a' }, { recipe: 'b' }, { recipe: 'c' }]);
    expect(started).toEqual(['a']);
    expect(memory.get('lora.queue')).toEqual([
      { recipe: 'b', id: '2' },
      { recipe: 'c', id: '3' },
    ]);
    await queue.move('3', -1);
    await end();
    expect(started).toEqual(['a', 'c']);
    await queue.remove('2');
    await end();
    expect(started).toEqual(['a', 'c']);
    expect(queue.items).toEqual([]);
  });

  it('reports a run that cannot start, and continues with the next', async () => {
    const tried: string[] = [];
    const { queue, reported } = queueWith((item) => {
      tried.push(placeOf(item));
      return placeOf(item) === 'bad' ? Promise.reject(new Error('no base')) : Promise.resolve(true);
    });
    await queue.add([{ recipe: 'bad' }, { recipe: 'good' }]);
    expect([tried, reported.map(String)]).toEqual([['bad', 'good'], ['Error: no base']]);
  });

  it('keeps a run that the user declined to start, and waits until more are added', async () => {
    let answers = 0;
    const { queue, end } = queueWith(() => Promise.resolve(answers++ > 0));
    await queue.add([{ recipe: 'a' }]);
    await end();
    expect([answers, queue.items]).toEqual([1, [{ recipe: 'a', id: '1' }]]);
    await queue.add([{ recipe: 'b' }]);
    expect(queue.items).toEqual([]);
  });

  it('continues with the runs from before the window was closed, and ignores invalid entries', async () => {
    const { queue, started } = queueWith(undefined, [
      { id: '4', recipe: 'kept', name: 'k' },
      { id: 'x', recipe: 'no' },
      { recipe: 3 },
      null,
    ]);
    await queue.resume();
    expect(started).toEqual(['kept']);
  });

  it('starts one of several runs that nobody is asked about, and queues the others', async () => {
    const { queue, started, store, end } = queueWith();
    const startAs = (recipe: string) =>
      queue.startOrAdd({ recipe }, () => {
        started.push(`${recipe} at once`);
        store.runs = [summaryOf({ state: 'running' })];
        return Promise.resolve(true);
      });
    expect(await Promise.all([startAs('a'), startAs('b')])).toEqual(['started', 'queued']);
    expect(await startAs('c')).toBe('queued');
    expect(started).toEqual(['a at once']);
    await end();
    expect(started).toEqual(['a at once', 'b']);
  });

  it('says that a run was declined, and passes on why one cannot start', async () => {
    const { queue } = queueWith();
    expect(await queue.startOrAdd({ recipe: 'a' }, () => Promise.resolve(false))).toBe('declined');
    const failing = queue.startOrAdd({ recipe: 'a' }, () => Promise.reject(new Error('no base')));
    await expect(failing).rejects.toThrow('no base');
    expect(queue.items).toEqual([]);
  });

  it('keeps runs to continue when the window is closed', async () => {
    const kept = { id: '1', resume: '/w/.lora/runs/r', name: 'r8' };
    const { queue } = queueWith(undefined, [kept, { id: '2', resume: '/w/.lora/runs/s' }]);
    expect(queue.items).toEqual([kept]);
    const { queue: other, memory } = queueWith(() => Promise.resolve(false));
    await other.add([{ resume: '/w/.lora/runs/r', name: 'r8' }]);
    expect(memory.get('lora.queue')).toEqual([kept]);
  });

  it('continues a queued run in its turn, unless it was deleted or has ended meanwhile', async () => {
    const resumed: string[] = [];
    const launcher = {
      resume: (dir: string) => {
        resumed.push(dir);
        return Promise.resolve(true);
      },
    };
    const store = {
      find: (dir: string) =>
        dir === 'gone' ? undefined : ({ dir, state: dir } as unknown as RunSummary),
    };
    for (const dir of ['gone', 'completed', 'stopped'])
      expect(await continueQueued({ resume: dir, name: 'n' }, { store, launcher })).toBe(true);
    expect(resumed).toEqual(['stopped']);
  });

  it('moves an item by one position, within the list', () => {
    expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b', 'c'], 0, -1)).toEqual(['a', 'b', 'c']);
    expect(moved(['a', 'b', 'c'], -1, 1)).toEqual(['a', 'b', 'c']);
  });
});
