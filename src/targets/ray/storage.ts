import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { throwIfAborted } from '../targetError';
import type { BundleItem } from '../target';
import { runtimeEnvironment } from './environment';
import { askJob, askLogs, refusalIn, stateOf, submitJob } from './jobsApi';
import { packagesOf, planItem, type ItemPlan } from './packages';
import type { RayHttp } from './rayHttp';

/** Packages that the head keeps in its memory at once. */
const BATCH_PACKAGES = 8;
const POLL_MS = 500;
/** A job that only looks at a folder should not wait for room. */
const ENDS_WITHIN_MS = 15 * 60_000;
const MAX_ITEMS = 10_000;

type Send = (item: BundleItem, plan: ItemPlan, name: string) => Promise<void>;
type PutJob = (
  description: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<string>;

/** The folder that all nodes of a cluster see. It is read and written by small jobs. */
export class RayStorage {
  constructor(
    private readonly http: RayHttp,
    private readonly putJob: PutJob,
  ) {}

  /** The ids of the items in the folder. @throws LoraError('target') when it cannot be written */
  items(signal: AbortSignal): Promise<ReadonlySet<string>> {
    return this.store([], [], signal);
  }

  /** A sentence if the folder cannot be used. */
  async check(signal: AbortSignal): Promise<readonly string[]> {
    try {
      await this.items(signal);
      return [];
    } catch (error) {
      throwIfAborted(signal);
      return [LoraError.from(error, 'target').message];
    }
  }

  /** Sends items in batches that the head has room for; a small job writes each to the folder. */
  async put(items: readonly BundleItem[], send: Send, signal: AbortSignal): Promise<void> {
    for (const item of items) {
      const plan = planItem(item);
      const names = packagesOf(plan);
      for (let at = 0; at < names.length; at += BATCH_PACKAGES) {
        const batch = names.slice(at, at + BATCH_PACKAGES);
        for (const name of batch) await send(item, plan, name);
        await this.store([plan], batch, signal);
      }
    }
  }

  private async store(
    items: readonly ItemPlan[],
    packages: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const submission = `lora-store-${randomBytes(8).toString('hex')}`;
    const job = await this.putJob({ mode: 'store', submission, items, job: 'none' }, signal);
    const environment = { job, packages, variables: {}, brings: null };
    await submitJob(
      this.http,
      {
        submission_id: submission,
        entrypoint: 'python launch.py',
        runtime_env: runtimeEnvironment(environment),
      },
      signal,
    );
    await this.ended(submission, signal);
    return storedIn(await askLogs(this.http, submission, signal));
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
}

/** What the launcher printed. */
function storedIn(log: string): ReadonlySet<string> {
  const [, text] = /^lora-stored (.*)$/m.exec(log) ?? [];
  try {
    const names = v.parse(v.pipe(v.array(v.string()), v.maxLength(MAX_ITEMS)), JSON.parse(text!));
    return new Set(names);
  } catch (error) {
    throw new LoraError('target', refusalIn(log) ?? 'The storage could not be read.', {
      cause: error,
    });
  }
}
