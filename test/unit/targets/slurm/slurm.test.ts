import * as fc from 'fast-check';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Answer } from '../../../../src/targets/agent/protocol';
import { sbatchArguments } from '../../../../src/targets/slurm/sbatchOptions';
import { reportOf } from '../../../../src/targets/slurm/slurmTarget';
import {
  MAX_GPU_KINDS,
  MAX_GROUPS,
  parseSacct,
  parseScontrolJob,
  parseSinfo,
  stateOf,
} from '../../../../src/targets/slurm/slurmText';
import { checkTargets } from '../../../../src/targets/targetList';
import type { TargetReport } from '../../../../src/targets/target';

/** As scontrol prints it, shortened. */
const shown = (state: string, reason = 'None', code = '0:0') =>
  `JobId=3 JobName=lora-20260101-000000-0001 UserId=me(1000) Account=(null) QOS=(null) ` +
  `JobState=${state} Reason=${reason} Dependency=(null) Requeue=1 Restarts=0 ExitCode=${code} ` +
  'RunTime=00:00:01 Command=/a JobState=COMPLETED ExitCode=0:0/job.sh\n';

const stateIn = (output: string) => stateOf(parseScontrolJob(output)!);
const ended = { kind: 'ended', exitCode: 0, reason: null, isLost: false };

describe('the state of a Slurm job', () => {
  it.each([
    ['Resources', 'the nodes are busy (Resources)'],
    ['PartitionDown', 'the partition is down (PartitionDown)'],
    ['ReqNodeNotAvail,_UnavailableNodes:n1', 'ReqNodeNotAvail, UnavailableNodes:n1'],
    ['QOSMaxJobsPerUserLimit', 'QOSMaxJobsPerUserLimit'],
    ['None', null],
  ])('waits for %s', (reason, words) => {
    expect(stateIn(shown('PENDING', reason))).toEqual({ kind: 'queued', reason: words });
  });

  it('is queued again after it was requeued, and running while it ends or is not known', () => {
    for (const state of ['REQUEUED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'SUSPENDED'])
      expect(stateIn(shown(state)).kind).toBe('queued');
    for (const state of ['RUNNING', 'COMPLETING', 'CONFIGURING', 'STAGE_OUT', 'NEW_IN_SLURM_99'])
      expect(stateIn(shown(state))).toEqual({ kind: 'running' });
  });

  it('tells how Slurm ended it', () => {
    expect(stateIn(shown('COMPLETED'))).toEqual(ended);
    expect(stateIn(shown('FAILED', 'NonZeroExitCode', '130:0'))).toEqual({
      ...ended,
      exitCode: 130,
    });
    expect(stateIn(shown('CANCELLED', 'None', '0:15'))).toEqual({
      ...ended,
      exitCode: null,
      reason: 'its Slurm job was cancelled',
    });
    expect(stateIn(shown('TIMEOUT', 'TimeLimit'))).toMatchObject({
      reason: expect.stringContaining('time limit') as string,
    });
    expect(stateIn(shown('OUT_OF_MEMORY'))).toMatchObject({
      reason: expect.stringContaining('more memory') as string,
    });
    expect(stateIn(shown('FAILED', 'JobLaunchFailure', '0:53'))).toMatchObject({
      exitCode: null,
      reason: 'it could not be started on its node',
    });
    for (const state of ['NODE_FAIL', 'BOOT_FAIL', 'PREEMPTED'])
      expect(stateIn(shown(state))).toMatchObject({ kind: 'ended', isLost: true });
  });

  it('tells what keeps its script from starting the engine', () => {
    const reasonOf = (code: string) => stateIn(shown('FAILED', 'NonZeroExitCode', code));
    expect(reasonOf('71:0')).toMatchObject({ reason: expect.stringContaining('"root"') as string });
    expect(reasonOf('72:0')).toMatchObject({ reason: expect.stringContaining('"node"') as string });
  });

  it('comes from the accounting where the controller has forgotten it', () => {
    expect(stateOf(parseSacct('CANCELLED by 1000|0:15\n')!)).toMatchObject({
      exitCode: null,
      reason: 'its Slurm job was cancelled',
    });
    expect(stateOf(parseSacct('COMPLETED|0:0\n')!)).toEqual(ended);
    expect(parseSacct('')).toBeNull();
    expect(parseSacct('Slurm accounting storage is disabled\n')).toBeNull();
  });

  it('is bounded, whatever is printed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), (text) => {
        for (const job of [parseScontrolJob(text), parseSacct(text)])
          if (job) expect(JSON.stringify(stateOf(job)).length).toBeLessThan(600);
        expect(parseSinfo(text).length).toBeLessThanOrEqual(MAX_GROUPS);
      }),
    );
    const long = stateIn(shown('PENDING', 'x'.repeat(1e6)));
    expect(JSON.stringify(long).length).toBeLessThan(1_000);
    const line = `a|up|1|2|3|${'gpu:9,'.repeat(1e3)}|n\n`;
    const groups = parseSinfo(line.repeat(1_000));
    expect(groups).toHaveLength(MAX_GROUPS);
    expect(groups[0]!.gpus).toHaveLength(MAX_GPU_KINDS);
  });
});

const SINFO = [
  'cpu*|up|12|64|256000+|(null)|c[01-12]',
  'gpu|up|2|96|1024000|gpu:a100:4(S:0-1),shard:8|g[1-2]',
  'old|down|1|8|32000|gpu:2|o1',
  'not a line of sinfo',
].join('\n');

const LOGIN: TargetReport = {
  machines: [
    { name: 'login', platform: 'linux-x64', cores: 4, memory: 8e9, freeDisk: 5e12, gpus: [] },
  ],
  node: 'v22.0.0',
  runtime: null,
  missing: [],
};

const report = (sbatch: object, change: Partial<Answer<'cluster'>> = {}) =>
  reportOf(
    LOGIN,
    { missing: [], refusal: null, groups: [...parseSinfo(SINFO)], ...change },
    { host: 'login', sbatch },
  );

describe('what a cluster has', () => {
  it('is what the nodes of the partition have', () => {
    expect(report({ partition: 'gpu' })).toEqual({
      ...LOGIN,
      machines: [
        {
          name: 'gpu: g[1-2] (2 nodes with each)',
          platform: null,
          cores: 96,
          memory: 1_024_000 * 2 ** 20,
          freeDisk: 5e12,
          gpus: Array.from({ length: 4 }, () => ({ name: 'a100', memory: null })),
        },
      ],
    });
    expect(report({ mem: '64G' }).machines).toMatchObject([{ memory: 64 * 2 ** 30 }]);
    expect(report({ partition: 'old' }).machines).toMatchObject([
      { name: 'old: o1, down', gpus: [{ name: 'GPU' }, { name: 'GPU' }] },
    ]);
  });

  it('names what is missing', () => {
    expect(report({ partition: 'gpus,cpu' }).missing).toEqual([
      'There is no partition gpus. The cluster has: cpu, gpu, old.',
    ]);
    expect(report({}, { missing: ['sbatch', 'srun'], groups: [] }).missing).toEqual([
      expect.stringMatching(/^login has no sbatch, srun on the PATH/),
    ]);
    expect(report({}, { refusal: 'Unable to contact slurm controller' }).missing).toEqual([
      'Slurm does not answer on login: Unable to contact slurm controller.',
    ]);
    const groups = report({}, { groups: [...parseSinfo('a|up|1|1|1|(null)|n')] });
    expect(groups.missing).toEqual([expect.stringMatching(/no default partition/)]);
  });
});

describe('options of sbatch', () => {
  const problemsOf = (sbatch: object) => {
    const entry = { name: 'a', kind: 'slurm', host: 'login', sbatch };
    return checkTargets(JSON.stringify([entry]), path.resolve('targets.json')).problems;
  };

  it('are one argument each', () => {
    expect(sbatchArguments({ partition: 'gpu', time: 240, 'cpus-per-task': 8 })).toEqual([
      '--partition=gpu',
      '--time=240',
      '--cpus-per-task=8',
    ]);
  });

  it.each([
    { partition: 'gpu,cpu', account: 'a_b-c', qos: 'normal' },
    { time: '1-12:00:00', mem: '64G', gpus: 'a100:1', gres: 'gpu:a100:1' },
    { constraint: '[a|b]&c*2', nodelist: 'n[01-04,7]', exclude: 'n1', 'cpus-per-task': 4 },
  ])('are accepted: %j', (sbatch) => {
    expect(problemsOf(sbatch)).toEqual([]);
  });

  it.each([
    ['partition', 'gpu --wrap=id'],
    ['partition', '-x'],
    ['partition', 'gpu\n#SBATCH --wrap=id'],
    ['account', "a'b"],
    ['account', 'a"b'],
    ['time', '$(id)'],
    ['time', '4h'],
    ['mem', '1G\n'],
    ['gpus', -1],
    ['nodelist', './nodes'],
    ['constraint', 'a;b'],
    ['job-name', 'x'],
    ['output', 'x'],
    ['chdir', '/'],
    ['wrap', 'id'],
    ['Partition', 'gpu'],
    ['export', 'NONE'],
  ])('refuses %s %j with its key', (name, value) => {
    const [problem, ...more] = problemsOf({ [name]: value });
    expect(more).toEqual([]);
    expect(problem?.place?.key ?? problem?.message).toContain(name);
  });
});
