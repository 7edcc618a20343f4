import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readLastStep } from '../../../../src/formats/run/lastStep';
import { readRun } from '../../../../src/host/runs/readRun';
import { engineOf, putRun, recordOf } from '../../../support/runRecords';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'lora-runs-'))));
afterEach(() => rm(root, { recursive: true }));

const dir = () => path.join(root, 'run');
const now = Date.now();
const stepLine = (step: number, loss: number) => JSON.stringify({ kind: 'step', step, loss });

describe('readRun', () => {
  it('trusts run.json while the engine sends heartbeats', async () => {
    await putRun(dir(), {
      'run.json': recordOf({ state: 'running' }),
      'engine.json': engineOf(),
      'metrics.jsonl': `${stepLine(1, 2)}\n${stepLine(2, 1.75)}\n{"kind":"st`,
    });
    expect(await readRun(dir(), now)).toMatchObject({
      kind: 'run',
      state: 'running',
      lastStep: { step: 2, loss: 1.75 },
    });
  });

  it('calls a run interrupted when the heartbeat is old, at the step that it reached', async () => {
    await putRun(dir(), {
      'run.json': recordOf({ state: 'running' }),
      'engine.json': engineOf({ heartbeat: new Date(now - 60_000).toISOString() }),
      'metrics.jsonl': `${stepLine(31, 2)}\n`,
    });
    expect(await readRun(dir(), now)).toMatchObject({
      state: 'interrupted',
      lastStep: { step: 31, loss: 2 },
    });
  });

  it('calls a run interrupted immediately when the process of this machine has ended', async () => {
    const pid = spawnSync(process.execPath, ['-e', '']).pid;
    await writeFile(path.join(root, 'pipe'), '');
    await putRun(dir(), {
      'run.json': recordOf({ state: 'running' }),
      'engine.json': engineOf({ pid, pipe: path.join(root, 'pipe') }),
    });
    expect(await readRun(dir(), now)).toMatchObject({ state: 'interrupted' });
  });

  it('trusts the heartbeat of an engine whose process and pipe are on another machine', async () => {
    const pid = spawnSync(process.execPath, ['-e', '']).pid;
    await putRun(dir(), {
      'run.json': recordOf({ state: 'paused' }),
      'engine.json': engineOf({ pid, pipe: '/on/another/machine' }),
    });
    expect(await readRun(dir(), now)).toMatchObject({ state: 'paused' });
  });

  it('keeps the state of a run that has ended, without an engine', async () => {
    await putRun(dir(), { 'run.json': recordOf({ state: 'failed' }) });
    expect(await readRun(dir(), now)).toMatchObject({ state: 'failed', lastStep: null });
  });

  it.each([
    ['half a file', '{"version":1,"na', /run\.json cannot be read/],
    ['another version', JSON.stringify({ ...recordOf(), version: 9 }), /version/],
    ['a missing key', JSON.stringify({ ...recordOf(), result: undefined }), /result/],
    [
      'a time that is none',
      JSON.stringify({ ...recordOf(), created: 'soon' }),
      /created.*is not a time/,
    ],
  ])('says what is wrong with %s', async (_, text, problem) => {
    await putRun(dir(), { 'run.json': text });
    expect(await readRun(dir(), now)).toMatchObject({
      kind: 'broken',
      problem: expect.stringMatching(problem) as string,
    });
  });

  it('waits for run.json while the engine starts, then calls the folder broken', async () => {
    await putRun(dir(), {});
    expect(await readRun(dir(), Date.now())).toMatchObject({ kind: 'starting' });
    expect(await readRun(dir(), Date.now() + 60_000)).toMatchObject({ kind: 'broken' });
  });
});

it('finds the last step at the end of a long metrics.jsonl', async () => {
  const lines = Array.from({ length: 5_000 }, (_, i) => stepLine(i + 1, i)).join('\n');
  await putRun(dir(), {
    'metrics.jsonl': `${lines}\n${JSON.stringify({ kind: 'sample', step: 5000, prompt: 'p', completion: 'x' })}\n`,
  });
  expect(await readLastStep(dir())).toMatchObject({ step: 5_000, loss: 4_999 });
});
