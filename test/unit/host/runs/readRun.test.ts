import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readLastStep } from '../../../../src/formats/run/lastStep';
import { readRun } from '../../../../src/host/runs/readRun';
import { engineOf, putRun, recordOf, remoteOf } from '../../../support/runRecords';

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

  describe('of a run on a target', () => {
    const ended = {
      ...engineOf({ pid: 2 ** 30, pipe: '/nowhere' }),
      heartbeat: '2026-01-02T03:04:05Z',
    };

    it('keeps the last known state when the process that mirrors it has ended', async () => {
      await putRun(dir(), {
        'run.json': recordOf({ state: 'running' }),
        'engine.json': ended,
        'remote.json': remoteOf(),
      });
      expect(await readRun(dir(), now)).toMatchObject({
        state: 'running',
        remote: { link: { kind: 'unattended', since: Date.parse('2026-01-02T03:04:05Z') } },
      });
    });

    it('is starting as soon as remote.json is there', async () => {
      await putRun(dir(), { 'remote.json': remoteOf() });
      expect(await readRun(dir(), now + 3_600_000)).toMatchObject({
        kind: 'starting',
        remote: { record: { target: { name: 'gpu-box' } } },
      });
    });

    it('says why the target does not answer while it is mirrored', async () => {
      await putRun(dir(), {
        'run.json': recordOf({ state: 'paused' }),
        'engine.json': engineOf(),
        'remote.json': remoteOf({
          connection: {
            state: 'lost',
            since: '2026-01-02T03:04:05Z',
            reason: 'The network is down.',
          },
        }),
      });
      expect(await readRun(dir(), now)).toMatchObject({
        state: 'paused',
        remote: { link: { kind: 'unreachable', reason: 'The network is down.' } },
      });
    });

    it.each([
      ['the target lost the job', { stage: { kind: 'lost', reason: null } }],
      ['no job was started', { handle: null, stage: { kind: 'sending', sent: 1, total: 2 } }],
    ] as const)('is interrupted when %s', async (_, changes) => {
      await putRun(dir(), {
        'run.json': recordOf({ state: 'running' }),
        'engine.json': ended,
        'remote.json': remoteOf(changes),
      });
      expect(await readRun(dir(), now)).toMatchObject({ state: 'interrupted' });
    });

    it.each([
      ['text', 'x'],
      ['a job that is a path', { ...remoteOf(), job: '../../x' }],
      ['a stage without its bytes', remoteOf({ stage: { kind: 'sending' } as never })],
      [
        'an endless name',
        remoteOf({ target: { name: 'x'.repeat(5_000), kind: 'ssh', place: 'y' } }),
      ],
    ])('ignores a remote.json with %s', async (_, content) => {
      await putRun(dir(), { 'run.json': recordOf(), 'remote.json': content });
      expect(await readRun(dir(), now)).toMatchObject({ state: 'completed', remote: null });
    });
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
