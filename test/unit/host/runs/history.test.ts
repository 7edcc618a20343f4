import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fits, groupRuns } from '../../../../src/host/runs/arrangeRuns';
import { readRun } from '../../../../src/host/runs/readRun';
import { recipeDifference } from '../../../../src/host/runs/recipeDifference';
import { collectRun, type RunSummary } from '../../../../src/host/runs/run';
import { readRunCard } from '../../../../src/host/runs/runCard';
import { NO_NOTES, readNotes, parseTags, writeNotes } from '../../../../src/host/runs/runNotes';
import { partsOf } from '../../../../src/host/runs/runParts';
import { RunStore } from '../../../../src/host/runs/runStore';
import { sparkline } from '../../../../src/shared/sparkline';
import type { RunRecord } from '../../../../src/shared/run';
import { fullRecord, putRun, recordOf } from '../../../support/runRecords';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'runs-'))));
afterEach(() => rm(root, { recursive: true }));

const runOf = (
  changes: Partial<RunRecord> = {},
  notes = NO_NOTES,
  dir = path.join(root, 'r1'),
): RunSummary =>
  collectRun(
    {
      kind: 'run',
      dir,
      record: recordOf(changes),
      state: changes.state ?? 'completed',
      lastStep: null,
      notes,
    },
    null,
  );

describe('notes', () => {
  it('are kept beside the run, and give it its name', async () => {
    const dir = await putRun(path.join(root, 'r1'), { 'run.json': recordOf() });
    expect(await readNotes(dir)).toEqual(NO_NOTES);
    await writeNotes(dir, { name: 'the good one', tags: ['small'], note: 'with fewer rows' });
    const run = collectRun(await readRun(dir, Date.now()), null);
    expect(run).toMatchObject({ name: 'the good one', notes: { tags: ['small'] } });
    expect(JSON.parse(await readFile(path.join(dir, 'run.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(recordOf())),
    );
  });

  it.each(['', '{"name":', '[]', '{"tags":"x"}', 'x'.repeat(100_000)])(
    'that cannot be read hide no run',
    async (text) => {
      const dir = await putRun(path.join(root, 'r1'), {
        'run.json': recordOf(),
        'notes.json': text,
      });
      expect(collectRun(await readRun(dir, Date.now()), null)).toMatchObject({
        name: 'git',
        state: 'completed',
        notes: NO_NOTES,
      });
    },
  );

  it('leave no file behind when they cannot be written', async () => {
    await expect(writeNotes(path.join(root, 'gone'), NO_NOTES)).rejects.toMatchObject({
      area: 'disk',
    });
  });

  it('have the typed tags without duplicates', () => {
    expect(parseTags(' small, git small,,x ')).toEqual(['small', 'git', 'x']);
  });

  it('reach the view when another window writes them', async () => {
    const dir = await putRun(path.join(root, 'r1'), { 'run.json': recordOf() });
    const store = new RunStore({ roots: () => [root], mayConnect: () => false });
    await store.refresh();
    await writeNotes(dir, { ...NO_NOTES, name: 'renamed' });
    await store.refresh();
    expect(store.runs.map(({ name }) => name)).toEqual(['renamed']);
    store.dispose();
  });
});

describe('groups and filter', () => {
  it('group equal values, unknown ones last', () => {
    const broken = collectRun({ kind: 'broken', dir: '/w/b', created: 0, problem: 'x' }, null);
    const [a, b] = [
      runOf(),
      runOf({ recipe: { ...recordOf().recipe, base: '/models/other.gguf' } }),
    ];
    expect(
      groupRuns([broken, a, b, a], 'base').map(({ label, runs }) => [label, runs.length]),
    ).toEqual([
      ['m.gguf', 2],
      ['other.gguf', 1],
      ['Other', 1],
    ]);
    expect(groupRuns([broken, a], 'state').map(({ label }) => label)).toEqual([
      'Unreadable',
      'Completed',
    ]);
  });

  it('match any word about a run', () => {
    const run = runOf({}, { name: 'Nightly', tags: ['small'], note: 'more rows' });
    for (const text of [
      '',
      'night',
      '#small',
      'rows COMPLETED',
      'r4',
      'm.gguf',
      'd.jsonl',
      'lora.json',
    ])
      expect(fits(run, text), text).toBe(true);
    for (const text of ['nightly failed', '#rows', 'r8']) expect(fits(run, text), text).toBe(false);
  });
});

describe('the rows below a run', () => {
  it('are adapters, checkpoints from the newest on, samples, recipe and log', async () => {
    const dir = await putRun(path.join(root, 'r1'), {
      'run.json': recordOf(),
      'metrics.jsonl': '',
      'engine.log': '',
    });
    for (const name of [
      'adapter',
      'best',
      'checkpoints/step-9',
      'checkpoints/step-100',
      'checkpoints/.tmp',
    ])
      await mkdir(path.join(dir, name), { recursive: true });
    const parts = await partsOf(runOf({}, NO_NOTES, dir));
    expect(parts.map(({ label }) => label)).toEqual([
      'Adapter',
      'Best adapter',
      'Checkpoint at step 100',
      'Checkpoint at step 9',
      'Samples',
      'Recorded recipe',
      'Log',
    ]);
    expect(parts[2]?.adapter).toBe(path.join(dir, 'checkpoints/step-100'));
    expect(await partsOf(runOf({}, NO_NOTES, path.join(root, 'empty')))).toEqual([]);
  });
});

it('shows models and checkpoints below a run of full fine-tuning', async () => {
  const dir = await putRun(path.join(root, 'r2'), { 'run.json': fullRecord() });
  for (const name of ['model', 'best', 'checkpoints/step-9'])
    await mkdir(path.join(dir, name), { recursive: true });
  const run = runOf(fullRecord(), NO_NOTES, dir);
  expect((await partsOf(run)).map(({ kind, label, adapter }) => [kind, label, adapter])).toEqual([
    ['model', 'Model', null],
    ['model', 'Best model', null],
    ['checkpoint', 'Checkpoint at step 9', null],
    ['recipe', 'Recorded recipe', null],
  ]);
  expect(fits(run, 'full')).toBe(true);
});

describe('the card of a run', () => {
  it('shows its curve, its commit, and what changed since the previous run', async () => {
    const lines = Array.from({ length: 100 }, (_, i) =>
      JSON.stringify({
        kind: 'step',
        step: i + 1,
        epoch: 0,
        loss: 100 - i,
        grad_norm: 1,
        learning_rate: 1,
        tokens: 1,
        labelled_tokens: 1,
        tokens_per_second: 1,
        memory: 1,
        elapsed: 1,
      }),
    );
    const dir = await putRun(path.join(root, 'r1'), { 'metrics.jsonl': `${lines.join('\n')}\n` });
    const { recipe } = recordOf();
    const record = recordOf({
      git_commit: 'a'.repeat(40),
      recipe: { ...recipe, lora: { ...recipe.lora, r: 8 } },
    });
    const card = await readRunCard(runOf({}, NO_NOTES, dir), record, {
      name: 'first',
      record: recordOf(),
    });
    expect(card).toMatchObject({
      facts: [['Git commit', 'aaaaaaaaaa']],
      changes: { since: 'first', lines: ['lora.r: 4 → 8'] },
    });
    expect(card.curve).toMatch(/^█.*▁$/);
    expect(card.curve).toHaveLength(32);
  });

  it('has no curve without steps', async () => {
    expect(await readRunCard(runOf(), undefined, null)).toEqual({
      curve: null,
      facts: [],
      changes: null,
      note: '',
    });
  });
});

describe('a sparkline', () => {
  it('goes from the lowest to the highest bar, with gaps where there is no number', () => {
    expect(sparkline([0, 1, NaN, 2])).toBe('▁▅ █');
    expect(sparkline([3, 3])).toBe('▁▁');
    expect(sparkline([])).toBe('');
  });
});

describe('the difference of two recipes', () => {
  it('names keys as the recipe does', () => {
    const { recipe } = recordOf();
    expect(recipeDifference(recipe, recipe)).toEqual([]);
    expect(
      recipeDifference(recipe, {
        ...recipe,
        labels: 'all',
        training: { ...recipe.training, seed: 7 },
      }),
    ).toEqual([
      { key: 'labels', before: 'assistant', after: 'all' },
      { key: 'training.seed', before: 42, after: 7 },
    ]);
  });
});

describe('a thousand runs', () => {
  it('are all listed, including a broken one, and not read again while nothing changes', async () => {
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
});
