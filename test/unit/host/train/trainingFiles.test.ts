import { describe, expect, it, vi } from 'vitest';
import type { DatasetCandidate } from '../../../../src/inspect/questions';
import type { BaseCandidate } from '../../../../src/host/train/baseFolder';
import type { Task } from '../../../../src/shared/task';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());
const { firstFit } = await import('../../../../src/host/train/trainingFiles');

const dataset = (path: string, task: Task) => ({ path, task }) as DatasetCandidate;
const bases = (...paths: string[]) =>
  (async function* () {
    await Promise.resolve();
    for (const path of paths) yield { path } as BaseCandidate;
  })();
const TASKS: Readonly<Record<string, readonly Task[]>> = {
  text: ['causal_lm'],
  image: ['image_cls'],
};
const read: string[] = [];
const tasksOf = ({ path }: BaseCandidate) => {
  read.push(path);
  return Promise.resolve(TASKS[path] ?? []);
};

describe('what can be trained', () => {
  it('is the first model with the first dataset that it can be trained on', async () => {
    const datasets = [dataset('rows', 'causal_lm'), dataset('photos', 'image_cls')];
    const found = await firstFit(datasets, bases('broken', 'image', 'text'), tasksOf);
    expect([found?.base.path, found?.dataset.path]).toEqual(['image', 'photos']);
  });

  it('is nothing where no model fits, and no model is read where there is no dataset', async () => {
    const rows = [dataset('rows', 'causal_lm')];
    expect(await firstFit(rows, bases('image', 'broken'), tasksOf)).toBeNull();
    read.length = 0;
    expect(await firstFit([], bases('text'), tasksOf)).toBeNull();
    expect(read).toEqual([]);
    expect(await firstFit(rows, bases('a', 'b', 'c', 'd', 'e', 'f', 'text'), tasksOf)).toBeNull();
    expect(read.join('')).toBe('abcde');
  });
});
