import { createInterface } from 'node:readline/promises';
import { formatSize } from '../../common/formatSize';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import type { StoredItem, StoredJob } from '../../targets/target';
import { findTarget } from '../../targets/targetList';
import { joinLines } from '../report';
import { printResult, type CommandContext } from './context';
import { withTarget } from './remoteTraining';

const HOUR_MS = 3_600_000;

/** What may be removed. */
interface CleanOptions {
  /** Newer items may belong to a run that is just being sent. */
  readonly hours: number;
  readonly isAgreed: boolean;
}

/**
 * lora targets clean: removes what no run on a target uses. Exit code 1 if the user does not agree.
 */
export async function cleanTarget(
  name: string,
  { hours, isAgreed }: CleanOptions,
  context: CommandContext,
): Promise<number> {
  const entry = await findTarget(name);
  const { signal } = context;
  return withTarget(entry, context, async (target) => {
    if (!target.usage || !target.clean) throw notHere(name);
    const { items, jobs } = await target.usage(signal);
    const now = (await target.clock(signal)) ?? Date.now();
    const unused = items.filter((item) => isUnused(item, now - hours * HOUR_MS));
    const isRemoved = unused.length > 0 && (isAgreed || (await agrees(unused, name, context)));
    const removed = isRemoved
      ? await target.clean(
          unused.map(({ id }) => id),
          signal,
        )
      : [];
    printResult(context, { name, items, jobs, unused, removed }, () =>
      joinLines([
        ...jobs.map((job) => describeJob(job, now)),
        ...items.map((item) => describeItem(item, now)),
        ...verdict(unused, removed, name),
      ]),
    );
    return isRemoved || unused.length === 0 ? 0 : 1;
  });
}

const isUnused = ({ usedBy, changed }: StoredItem, before: number): boolean =>
  usedBy.length === 0 && changed <= before;

/** Only a person at a terminal is asked. */
async function agrees(
  unused: readonly StoredItem[],
  name: string,
  context: CommandContext,
): Promise<boolean> {
  if (context.json || !process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin });
  try {
    const what = `${countOf(unused.length, 'item')} (${sizeOf(unused)})`;
    context.note(`Remove ${what} from ${name} that no run there uses? [y/N]`);
    return /^y(?:es)?$/i.test((await terminal.question('', context)).trim());
  } finally {
    terminal.close();
  }
}

function verdict(
  unused: readonly StoredItem[],
  removed: readonly string[],
  name: string,
): readonly string[] {
  if (unused.length === 0) return [`Every item on ${name} is used by a run, or is new.`];
  const gone = unused.filter(({ id }) => removed.includes(id));
  if (gone.length > 0)
    return [`Removed ${countOf(gone.length, 'item')} (${sizeOf(gone)}) from ${name}.`];
  const what = `${countOf(unused.length, 'item')} (${sizeOf(unused)})`;
  return [`No run on ${name} uses ${what}: remove them with lora targets clean ${name} --yes.`];
}

const describeJob = ({ job, state, bytes, changed }: StoredJob, now: number): string =>
  `run ${job}  ${state}  ${formatSize(bytes)}  ${ageOf(changed, now)}`;

function describeItem({ id, isComplete, usedBy, bytes, changed }: StoredItem, now: number): string {
  const use = usedBy.length === 0 ? 'not used' : `used by ${countOf(usedBy.length, 'run')}`;
  const part = isComplete ? '' : ', incomplete';
  return `item ${id.slice(0, 12)}  ${use}${part}  ${formatSize(bytes)}  ${ageOf(changed, now)}`;
}

const sizeOf = (items: readonly StoredItem[]): string =>
  formatSize(items.reduce((sum, { bytes }) => sum + bytes, 0));

function ageOf(changed: number, now: number): string {
  const hours = Math.max(0, Math.floor((now - changed) / HOUR_MS));
  return hours < 48 ? countOf(hours, 'hour') : countOf(Math.floor(hours / 24), 'day');
}

const notHere = (name: string): LoraError =>
  new LoraError('target', `The files that ${name} keeps cannot be listed.`, {
    fix: 'Remove them on the machine itself.',
  });
