import { describe, expect, it } from 'vitest';
import { moved, RunQueue, type QueuedRun } from '../../../../src/host/queue/runQueue';
import type { RunSummary } from '../../../../src/host/runs/run';

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
        started.push(item.recipe);
        store.runs = [{ state: 'running' } as RunSummary];
        return Promise.resolve(true);
      }),
  });
  const end = async () => {
    store.runs = [];
    for (const listener of listeners) listener();
    await new Promise(setImmediate);
  };
  return { queue, started, reported, memory, end };
}

describe('the queue', () => {
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
      tried.push(item.recipe);
      return item.recipe === 'bad' ? Promise.reject(new Error('no base')) : Promise.resolve(true);
    });
    await queue.add([{ recipe: 'bad' }, { recipe: 'good' }]);
    expect([tried, reported.map(String)]).toEqual([['bad', 'good'], ['Error: no base']]);
  });

  it('keeps a run that the user declined to start, and waits until more are added', async () => {
    let answers = 0;
    const { queue, end } = queueWith(() => Promise.resolve(answers++ > 0));
    await queue.add([{ recipe: 'a' }]);
    await end();
    expect([answers, queue.items.map(({ recipe }) => recipe)]).toEqual([1, ['a']]);
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

  it('moves an item by one position, within the list', () => {
    expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b', 'c'], 0, -1)).toEqual(['a', 'b', 'c']);
    expect(moved(['a', 'b', 'c'], -1, 1)).toEqual(['a', 'b', 'c']);
  });
});
