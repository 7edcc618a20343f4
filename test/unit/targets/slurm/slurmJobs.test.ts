import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Jobs } from '../../../../src/targets/agent/jobs';
import { Places } from '../../../../src/targets/agent/places';

const JOB = '20260131-142501-7f3a';
const FORGOTTEN = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1';

/** A job with the number 7 whose programs of Slurm are these scripts. */
function jobWith(programs: Readonly<Record<string, string>>, state = 'running') {
  const root = mkdtempSync(path.join(tmpdir(), 'slurm-jobs-'));
  const bin = path.join(root, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  vi.stubEnv('PATH', bin);
  onTestFinished(() => void vi.unstubAllEnvs());
  const places = new Places(root);
  mkdirSync(places.run(JOB), { recursive: true });
  writeFileSync(places.slurm(JOB), '{"number": 7}');
  const record = path.join(places.run(JOB), 'run.json');
  writeFileSync(record, JSON.stringify({ state, ended: '2026-01-31T15:00:00.000Z' }));
  writeFileSync(places.begun(JOB), '');
  const startedAt = (seconds: number) => {
    utimesSync(record, 100, 100);
    utimesSync(places.begun(JOB), seconds, seconds);
  };
  startedAt(50);
  const recorded = () => (JSON.parse(readFileSync(record, 'utf8')) as { state: string }).state;
  return { jobs: new Jobs(places), startedAt, recorded };
}

const ended = (change: object = {}) => ({
  kind: 'ended',
  exitCode: 0,
  reason: null,
  isLost: false,
  ...change,
});

describe.skipIf(process.platform === 'win32')('a job that the controller has forgotten', () => {
  it('has ended as the accounting says', async () => {
    const { jobs } = jobWith({ scontrol: FORGOTTEN, sacct: 'echo "TIMEOUT|0:0"' });
    expect(await jobs.state(JOB)).toEqual(
      ended({ reason: 'its Slurm job reached its time limit ("time" of "sbatch")' }),
    );
  });

  it.each([
    ['there is no accounting', {}],
    ['the accounting is off', { sacct: 'echo "Slurm accounting storage is disabled" >&2; exit 1' }],
    ['the accounting does not know it', { sacct: 'exit 0' }],
    ['the accounting missed its end', { sacct: 'echo "RUNNING|0:0"' }],
  ])('has ended as its folder says when %s', async (_, programs) => {
    const stopped = jobWith({ scontrol: FORGOTTEN, ...programs }, 'stopped');
    expect(await stopped.jobs.state(JOB)).toEqual(ended({ exitCode: null }));
    const silent = jobWith({ scontrol: FORGOTTEN, ...programs });
    expect(await silent.jobs.state(JOB)).toEqual({ kind: 'unknown' });
  });

  it('is not taken for one when Slurm does not answer', async () => {
    const down = 'echo "Unable to contact slurm controller" >&2; exit 1';
    const { jobs } = jobWith({ scontrol: down, sacct: 'echo "COMPLETED|0:0"' });
    await expect(jobs.state(JOB)).rejects.toThrow(/Slurm does not answer: Unable to contact/);
  });
});

describe.skipIf(process.platform === 'win32')('a job that Slurm has started again', () => {
  const failed = { scontrol: 'echo "JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0"' };

  it('does not have the end of the start before when it dies at once', async () => {
    const { jobs, startedAt, recorded } = jobWith(failed, 'stopped');
    startedAt(200);
    expect(await jobs.state(JOB)).toEqual(ended({ exitCode: 3 }));
    expect(recorded()).toBe('preparing');
  });

  it('has the end that it wrote itself, and a complete run stays', async () => {
    const own = jobWith(failed, 'failed');
    expect(await own.jobs.state(JOB)).toEqual(ended({ exitCode: 3 }));
    expect(own.recorded()).toBe('failed');
    const complete = jobWith(failed, 'completed');
    complete.startedAt(200);
    await complete.jobs.state(JOB);
    expect(complete.recorded()).toBe('completed');
  });

  it('keeps what it wrote while it is queued or running', async () => {
    for (const words of ['PENDING Reason=BeginTime', 'RUNNING Reason=None']) {
      const { jobs, startedAt, recorded } = jobWith(
        { scontrol: `echo "JobState=${words} ExitCode=0:0"` },
        'stopped',
      );
      startedAt(200);
      await jobs.state(JOB);
      expect(recorded()).toBe('stopped');
    }
  });
});
