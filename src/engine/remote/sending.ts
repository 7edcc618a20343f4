import { formatSize } from '../../common/formatSize';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { RemoteStage } from '../../shared/remoteRun';
import type { RunRecord } from '../../shared/run';
import { countOf } from '../../shared/values';
import { bytesOf, makeBundle, type Bundle } from '../../targets/bundle/bundle';
import type { BundleItem, Job, JobHandle, Target } from '../../targets/target';
import { withPlanBundle } from '../rayTrain/planBundle';
import { NOT_COMPARED } from './mirror';
import type { RemoteFile } from './remoteFile';

/** A run that is to be started on a target. */
export interface SentRun {
  readonly target: Target;
  readonly record: RunRecord;
  readonly remote: RemoteFile;
  /** The folder of the bundles. */
  readonly dist: string;
  /** Bases that the target has. */
  readonly bases: Readonly<Record<string, string>>;
  /** How many workers of Ray Train train it; null: our engine does. */
  readonly workers: number | null;
  /** Go on from the last checkpoint there. */
  readonly resume: boolean;
  readonly signal: AbortSignal;
  /** Receives the current activity, without being awaited. */
  readonly onStage: (stage: RemoteStage) => void;
  readonly say: (text: string) => void;
}

/**
 * Sends what a run needs and is not there, and starts it. remote.json tells it from then on.
 *
 * @throws LoraError('target' | 'cancelled' | 'disk')
 */
export async function sendAndStart(run: SentRun): Promise<JobHandle> {
  const { record, dist, bases, target, workers, signal, onStage } = run;
  onStage({ kind: 'checking' });
  if (workers !== null)
    return withPlanBundle({ ...run, workers }, (bundle) => startBundle(bundle, run));
  return startBundle(
    await makeBundle(untracked(record.recipe), { dist, bases, target, signal }),
    run,
  );
}

/** Trackers are fed here, where their servers and tokens are. */
const untracked = (recipe: Recipe): Recipe => ({ ...recipe, report_to: [] });

/** What a job is started with; `trainer` where Ray Train trains it. */
type StartedBundle = Bundle & Pick<Job, 'trainer'>;

async function startBundle(bundle: StartedBundle, run: SentRun): Promise<JobHandle> {
  const { target, remote, resume, signal, onStage, say } = run;
  await remote.update({ sent: foldersOf(bundle.items) });
  await put(bundle, run);
  await remote.update({ clock_ahead: await clockAhead(target, signal) });
  const { items, engine, recipe, trainer } = bundle;
  const job = {
    id: remote.current.job,
    items,
    engine,
    recipe,
    resume,
    ...(trainer && { trainer }),
  };
  onStage({ kind: 'starting', step: null });
  const handle = await target.start(job, signal, (step) => {
    onStage({ kind: 'starting', step });
    say(step);
  });
  await remote.update({ handle: handle.values, ...(resume && { earlier: NOT_COMPARED }) });
  return handle;
}

async function put(bundle: Bundle, run: SentRun): Promise<void> {
  const { target, signal, onStage, say } = run;
  const present = await target.present(bundle.items, signal);
  const missing = bundle.items.filter(({ id }) => !present.has(id));
  say(describeSending(bundle, missing, target.name));
  const total = bytesOf(missing);
  if (missing.length === 0) return;
  await target.put(missing, {
    signal,
    onProgress: (sent) => onStage({ kind: 'sending', sent, total }),
  });
}

/**
 * "Sending 281 MB to gpu-box: engine 7.9 MB, base 273 MB. It has the dataset already."
 */
export function describeSending(
  { items, there }: Pick<Bundle, 'items' | 'there'>,
  missing: readonly BundleItem[],
  name: string,
): string {
  const sizes = missing.map((item) => `${item.label} ${formatSize(bytesOf([item]))}`);
  const kept = items.filter((item) => !missing.includes(item)).map(({ label }) => label);
  const known = [...kept, ...there];
  const sent =
    missing.length === 0
      ? `Nothing is sent to ${name}.`
      : `Sending ${formatSize(bytesOf(missing))} to ${name}: ${sizes.join(', ')}.`;
  return known.length === 0 ? sent : `${sent} It has already: ${known.join(', ')}.`;
}

/** Where the files of each item are from. */
const foldersOf = (items: readonly BundleItem[]): Record<string, string> =>
  Object.fromEntries(
    items.flatMap(({ id, files: [first] }) =>
      first === undefined ? [] : [[id, first.source.slice(0, -first.path.length - 1)]],
    ),
  );

/** Milliseconds that the clock of a target is ahead; null where it cannot tell. */
async function clockAhead(target: Target, signal: AbortSignal): Promise<number | null> {
  const before = Date.now();
  const there = await target.clock(signal);
  return there === null ? null : Math.round(there - (before + Date.now()) / 2);
}

/** @throws LoraError('target') with all that keeps jobs from running on a target */
export function refuseUnfit(name: string, missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw new LoraError(
    'target',
    missing.length === 1 ? missing[0]! : `${name} lacks ${countOf(missing.length, 'thing')}.`,
    {
      problems:
        missing.length === 1
          ? []
          : missing.map((message) => ({ message, severity: 'error' as const })),
    },
  );
}
