import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { NO_NOTES, writeNotes } from '../../../../src/host/runs/runNotes';
import { RunStore } from '../../../../src/host/runs/runStore';
import { putRun, recordOf } from '../../../support/runRecords';
import { temp } from '../../../support/temp';

it('updates a run when another window writes its notes', async () => {
  const root = temp();
  const dir = await putRun(path.join(root, 'run'), { 'run.json': recordOf() });
  const store = new RunStore({ roots: () => [root], mayConnect: () => false });
  await store.refresh();
  await writeNotes(dir, { ...NO_NOTES, name: 'renamed' });
  await store.refresh();
  expect(store.runs.map(({ name }) => name)).toEqual(['renamed']);
  store.dispose();
});

it('lists a thousand runs, including a broken one, and reads only changed ones again', async () => {
  const root = temp();
  const text = JSON.stringify(recordOf());
  await Promise.all(
    Array.from({ length: 1000 }, (_, i) =>
      putRun(path.join(root, `run-${i}`), { 'run.json': i === 500 ? '{' : text }),
    ),
  );
  const store = new RunStore({ roots: () => [root], mayConnect: () => false });
  let changes = 0;
  store.onDidChange(() => changes++);
  await store.refresh();
  await store.refresh();
  expect([
    store.runs.length,
    store.runs.filter((run) => run.state === 'broken').length,
    changes,
  ]).toEqual([1000, 1, 1]);
  await writeFile(path.join(root, 'run-7', 'notes.json'), '{"name":"seven"}');
  await store.refresh();
  expect(changes).toBe(2);
  store.dispose();
});
