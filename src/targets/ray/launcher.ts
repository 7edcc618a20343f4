import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { readTextFile } from '../../common/regularFile';
import { storedZip } from '../../common/storedZip';
import { LoraError } from '../../shared/errors';
import type { BucketSettings } from '../s3/place';
import { throwIfAborted } from '../targetError';
import { runtimeEnvironment } from './environment';
import { askJob, askLogs, putPackage, stateOf, submitJob } from './jobsApi';
import type { RayHttp } from './rayHttp';

/** The programs of a job, the first of which is started. */
const PROGRAMS = ['launch.py', 'job.py', 'kept.py', 'published.py', 'stored.py'];
const MAX_PROGRAM_BYTES = 2 ** 20;
const ENTRYPOINT = 'python launch.py';
const POLL_MS = 500;
/** A job that only looks at a folder should not wait for room. */
const ENDS_WITHIN_MS = 15 * 60_000;

/** A job for the launcher, as engine/ray/job.py reads it. */
export type Description = Readonly<Record<string, unknown>> & {
  readonly mode: 'train' | 'store' | 'usage' | 'clean' | 'cancel';
  readonly submission: string;
};

/** What a job is submitted with, besides its description. */
export interface Submitted {
  readonly recipe: string | null;
  /** The packages of items. */
  readonly packages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly brings: 'node' | 'trainer' | null;
  /** What it reserves, in the words of Ray. */
  readonly reserved: Readonly<Record<string, number>>;
}

const SMALL: Submitted = {
  recipe: null,
  packages: [],
  variables: {},
  brings: null,
  reserved: {},
};

/** Submits jobs whose program is engine/ray/launch.py. */
export class Launcher {
  constructor(
    private readonly http: RayHttp,
    private readonly dist: string,
    /** A folder that all nodes see, a bucket, or nothing. */
    private readonly storage: string | BucketSettings | null,
  ) {}

  /** @throws LoraError('target' | 'cancelled') */
  async submit(
    description: Description,
    { recipe, packages, variables, brings, reserved }: Submitted,
    signal: AbortSignal,
  ): Promise<void> {
    const job = await this.put(description, recipe, signal);
    await submitJob(
      this.http,
      {
        submission_id: description.submission,
        entrypoint: ENTRYPOINT,
        ...reserved,
        runtime_env: runtimeEnvironment({ job, packages, variables, brings }),
      },
      signal,
    );
  }

  /** Ends a job that waits: another one does it, since Ray would wait until the job runs. */
  async cancel(cancels: string, signal: AbortSignal): Promise<void> {
    const submission = smallName('stop');
    const description = { mode: 'cancel', submission, cancels, job: 'none', items: [] } as const;
    await this.submit(description, SMALL, signal);
  }

  /**
   * Runs a small job to its end, and gives what it printed.
   *
   * @throws LoraError('target' | 'cancelled') with what the job refused
   */
  async ask(
    mode: 'store' | 'usage' | 'clean',
    values: Readonly<Record<string, unknown>>,
    packages: readonly string[],
    signal: AbortSignal,
  ): Promise<string> {
    const submission = smallName('store');
    await this.submit(
      { items: [], ...values, mode, submission, job: 'none' },
      { ...SMALL, packages },
      signal,
    );
    await this.ended(submission, signal);
    return askLogs(this.http, submission, signal);
  }

  private async ended(submission: string, signal: AbortSignal): Promise<void> {
    const limit = Date.now() + ENDS_WITHIN_MS;
    while (Date.now() < limit) {
      throwIfAborted(signal);
      const info = await askJob(this.http, submission, signal);
      const state = stateOf(info, 'room');
      if (state.kind === 'unknown') break;
      if (state.kind === 'ended') {
        if (info?.status === 'SUCCEEDED') return;
        throw new LoraError('target', state.reason ?? 'The storage could not be used.', {
          fix: 'Correct "storage" in the entry of the target: a folder that all nodes see and can write.',
        });
      }
      await wait(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
    throw new LoraError('target', 'The cluster did not run the job that looks at the storage.');
  }

  /** Sends the programs and the description of a job. Gives the name of their package. */
  private async put(
    description: Description,
    recipe: string | null,
    signal: AbortSignal,
  ): Promise<string> {
    const programs: Record<string, string> = {};
    for (const name of PROGRAMS)
      programs[name] = await readTextFile(path.join(this.dist, 'ray', name), {
        maxBytes: MAX_PROGRAM_BYTES,
      });
    const zip = storedZip({
      ...programs,
      'job.json': JSON.stringify({ ...description, storage: this.storage }),
      ...(recipe !== null && { 'lora.json': recipe }),
    });
    const hash = createHash('sha256').update(zip).digest('hex').slice(0, 32);
    const name = `_ray_pkg_lorajob_${hash}.zip`;
    await putPackage(this.http, name, zip, signal);
    return name;
  }
}

const smallName = (what: string): string => `lora-${what}-${randomBytes(8).toString('hex')}`;
