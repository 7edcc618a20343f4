import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bytesOfEarlierJob } from '../../../../src/engine/remote/earlierJob';
import {
  pullGrowing,
  type Growing,
  type PulledJob,
} from '../../../../src/engine/remote/pulledFiles';
import type { Target } from '../../../../src/targets/target';

const folder = mkdtempSync(path.join(tmpdir(), 'earlier-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const METRICS: Growing = {
  file: 'metrics.jsonl',
  as: 'metrics.jsonl',
  maxBytes: 1e9,
  wholeLines: true,
};
const LOG: Growing = { ...METRICS, wholeLines: false };
const ENOUGH = 1_000;

const lines = (name: string, from: number, to: number) =>
  Array.from(
    { length: to - from },
    (_, i) => `{"${name}":${from + i},"time":"${(from + i) * 7}"}\n`,
  ).join('');

/** The file after the first look at a job with this content, and how much an earlier one wrote. */
async function resumed(growing: Growing, here: string, content: string, partBytes = ENOUGH) {
  const run_dir = mkdtempSync(path.join(folder, 'run-'));
  const file = path.join(run_dir, growing.as);
  writeFileSync(file, here);
  const bytes = Buffer.from(content);
  const target = {
    name: 'cluster',
    read: (
      _job: unknown,
      _file: string,
      { offset, maxBytes }: { offset: number; maxBytes: number },
    ) => Promise.resolve(bytes.subarray(offset, offset + Math.min(maxBytes, partBytes))),
  } as unknown as Target;
  const { signal } = new AbortController();
  const job: PulledJob = { target, handle: { job: 'x', values: {} }, run_dir, signal };
  const there = { path: growing.file, size: bytes.length, version: '1' };
  const earlier = await bytesOfEarlierJob(job, growing, there);
  await pullGrowing(job, { ...growing, earlier }, there);
  return { earlier, text: readFileSync(file, 'utf8') };
}

describe('a run that another job goes on with', () => {
  it('continues in the same file where the job has it', async () => {
    const [old, added] = [lines('step', 0, 9_000), lines('step', 9_000, 9_010)];
    expect(await resumed(METRICS, old, old + added)).toEqual({ earlier: 0, text: old + added });
    expect(await resumed(LOG, old, old + added)).toEqual({ earlier: 0, text: old + added });
  });

  it('keeps the lines after its checkpoint, and the new ones follow', async () => {
    const [kept, lost, added] = [
      lines('step', 0, 400),
      lines('step', 400, 550),
      '{"resume":400}\n',
    ];
    const expected = { earlier: lost.length, text: kept + lost + added };
    for (const partBytes of [70, ENOUGH, 1e6])
      expect(await resumed(METRICS, kept + lost, kept + added, partBytes)).toEqual(expected);
    // and when the job is ahead already
    const ahead = added + lines('again', 400, 900);
    expect((await resumed(METRICS, kept + lost, kept + ahead)).text).toBe(kept + lost + ahead);
  });

  it('keeps all where the job has nothing of it', async () => {
    const [old, added] = [lines('step', 0, 20), lines('other', 0, 5)];
    expect((await resumed(METRICS, old, added)).text).toBe(old + added);
    expect((await resumed(METRICS, '', added)).text).toBe(added);
  });

  it('puts the log of a job after that of an earlier one', async () => {
    const [old, fresh] = ['reading data\nstep 1\nstopped\n', 'reading data\nresumed\n'];
    expect(await resumed(LOG, old, fresh)).toEqual({ earlier: old.length, text: old + fresh });
  });
});
