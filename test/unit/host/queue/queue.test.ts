import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { moved, RunQueue, type QueuedRun } from '../../../../src/host/queue/runQueue';
import { parseRanks, sweepName, writeSweep } from '../../../../src/host/queue/sweepFiles';
import { distinctNames } from '../../../../src/host/runs/run';
import type { RunSummary } from '../../../../src/host/runs/run';
import { parseRecipe } from '../../../../src/shared/recipeFile';

/** A queue over a store whose runs the test sets; `begun` are those that were started. */
function queueWith(start?: (item: QueuedRun) => Promise<boolean>, kept?: unknown) {
  const memory = new Map<string, unknown>([['lora.queue', kept]]);
  const begun: string[] = [];
  const told: unknown[] = [];
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
    report: (error) => told.push(error),
    start:
      start ??
      ((item) => {
        begun.push(item.recipe);
        store.runs = [{ state: 'running' } as RunSummary];
        return Promise.resolve(true);
      }),
  });
  const end = async () => {
    store.runs = [];
    for (const listener of listeners) listener();
    await new Promise(setImmediate);
  };
  return { queue, begun, told, memory, end };
}

describe('the queue', () => {
  it('starts one run after another, each when none is active', async () => {
    const { queue, begun, memory, end } = queueWith();
    await queue.add([{ recipe: 'a' }, { recipe: 'b' }, { recipe: 'c' }]);
    expect(begun).toEqual(['a']);
    expect(memory.get('lora.queue')).toEqual([
      { recipe: 'b', id: '2' },
      { recipe: 'c', id: '3' },
    ]);
    await queue.move('3', -1);
    await end();
    expect(begun).toEqual(['a', 'c']);
    await queue.remove('2');
    await end();
    expect(begun).toEqual(['a', 'c']);
    expect(queue.items).toEqual([]);
  });

  it('reports a run that cannot start, and continues with the next', async () => {
    const tried: string[] = [];
    const { queue, told } = queueWith((item) => {
      tried.push(item.recipe);
      return item.recipe === 'bad' ? Promise.reject(new Error('no base')) : Promise.resolve(true);
    });
    await queue.add([{ recipe: 'bad' }, { recipe: 'good' }]);
    expect([tried, told.map(String)]).toEqual([['bad', 'good'], ['Error: no base']]);
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
    const { queue, begun } = queueWith(undefined, [
      { id: '4', recipe: 'kept', name: 'k' },
      { id: 'x', recipe: 'no' },
      { recipe: 3 },
      null,
    ]);
    await queue.resume();
    expect(begun).toEqual(['kept']);
  });

  it('moves an item by one position, within the list', () => {
    expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b', 'c'], 0, -1)).toEqual(['a', 'b', 'c']);
    expect(moved(['a', 'b', 'c'], -1, 1)).toEqual(['a', 'b', 'c']);
  });
});

describe('a sweep of ranks', () => {
  it('parses a list of ranks, sorted and without duplicates', () => {
    expect(parseRanks('4, 1 2;2')).toEqual([1, 2, 4]);
    for (const text of [
      '',
      '0',
      '1.5',
      'r',
      '2048',
      Array.from({ length: 17 }, (_, i) => i + 1).join(),
    ])
      expect(parseRanks(text), text).toBeUndefined();
  });

  it('writes a recipe for each rank with the same scaling factor and valid paths', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'sweep-'));
    const file = path.join(folder, 'git.lora.json');
    const recipe = parseRecipe(
      '{ "base": "models/tiny", "dataset": "d.jsonl", "lora": { "r": 8, "lora_alpha": 16 } }',
      file,
    );
    const { folder: own, runs } = await writeSweep(file, recipe, [1, 16]);
    expect(sweepName(own)).toBe('git');
    expect(runs.map(({ root, name }) => [root, name])).toEqual([
      [path.join(folder, '.lora/runs'), 'git r 1'],
      [path.join(folder, '.lora/runs'), 'git r 16'],
    ]);
    for (const [i, r] of [1, 16].entries()) {
      const written = parseRecipe(await readFile(runs[i]!.recipe, 'utf8'), runs[i]!.recipe);
      expect(written).toEqual({ ...recipe, lora: { ...recipe.lora, r, lora_alpha: 2 * r } });
      expect(written.base).toBe(path.join(folder, 'models/tiny'));
    }
  });
});

it('makes duplicate names distinct', () => {
  expect(
    distinctNames([
      { name: 'a', id: '1' },
      { name: 'b', id: '2' },
      { name: 'a', id: '3' },
    ]),
  ).toEqual(['a (1)', 'b', 'a (3)']);
});
