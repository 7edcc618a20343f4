import * as v from 'valibot';
import { LoraError } from '../../shared/errors';
import { throwIfAborted } from '../targetError';
import type { BundleItem } from '../target';
import { refusalIn } from './jobsApi';
import type { Launcher } from './launcher';
import { packagesOf, planItem, type ItemPlan } from './packages';

/** Packages that the head keeps in its memory at once. */
const BATCH_PACKAGES = 8;
const MAX_LISTED = 10_000;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const id = v.pipe(v.string(), v.regex(/^[0-9a-z]{1,128}$/));
const job = v.pipe(v.string(), v.regex(/^\d{8}-\d{6}-[0-9a-f]{4}$/));
const IdsSchema = v.pipe(v.array(id), v.maxLength(MAX_LISTED));
const UsageSchema = v.object({
  items: v.pipe(
    v.array(
      v.object({
        id,
        bytes: count,
        changed: count,
        isComplete: v.boolean(),
        usedBy: v.pipe(v.array(job), v.maxLength(MAX_LISTED)),
      }),
    ),
    v.maxLength(MAX_LISTED),
  ),
  jobs: v.pipe(v.array(v.object({ job, bytes: count, changed: count })), v.maxLength(MAX_LISTED)),
});

type Send = (item: BundleItem, plan: ItemPlan, name: string) => Promise<void>;

/** What the folder keeps. */
export type FolderUsage = v.InferOutput<typeof UsageSchema>;

/** What is to be removed, and the jobs that continue, whose items stay. */
export interface Removal {
  readonly items: readonly string[];
  readonly jobs: readonly string[];
  readonly going: readonly string[];
}

/** The folder that all nodes of a cluster see. It is read and written by small jobs. */
export class RayStorage {
  constructor(private readonly launcher: Launcher) {}

  /**
   * Which of these items are in the folder: they count as used now.
   *
   * @throws LoraError('target') when it cannot be written
   */
  async items(wanted: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const log = await this.launcher.ask('store', { wanted }, [], signal);
    const stored = new Set(printed(log, 'lora-stored', IdsSchema));
    return new Set(wanted.filter((item) => stored.has(item)));
  }

  /** A sentence if the folder cannot be used. */
  async check(signal: AbortSignal): Promise<readonly string[]> {
    try {
      await this.items([], signal);
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
        await this.launcher.ask('store', { items: [plan], wanted: [] }, batch, signal);
      }
    }
  }

  /** What the folder keeps. `going`: the jobs that the cluster runs or will run. */
  async usage(going: readonly string[], signal: AbortSignal): Promise<FolderUsage> {
    return printed(
      await this.launcher.ask('usage', { going }, [], signal),
      'lora-usage',
      UsageSchema,
    );
  }

  /** Removes what no job uses. Gives the items that are gone. */
  async clean({ items, jobs, going }: Removal, signal: AbortSignal): Promise<readonly string[]> {
    const log = await this.launcher.ask('clean', { remove: items, jobs, going }, [], signal);
    return printed(log, 'lora-stored', IdsSchema);
  }
}

/** What the launcher printed. @throws LoraError('target') */
function printed<T>(log: string, word: string, schema: v.GenericSchema<unknown, T>): T {
  const [, text] = new RegExp(`^${word} (.*)$`, 'm').exec(log) ?? [];
  try {
    return v.parse(schema, JSON.parse(text!));
  } catch (error) {
    throw new LoraError('target', refusalIn(log) ?? 'The storage could not be read.', {
      cause: error,
    });
  }
}
