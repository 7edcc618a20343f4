import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { writeJson } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { removeWithin } from '../../common/withoutLinks';
import { readLastStep } from '../../formats/run/lastStep';
import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import { newRunId, NOTES_FILE, type RunResult, type RunState } from '../../shared/run';
import { runsOfSweep } from '../../shared/sweep/places';
import type { SweepRecord, SweepRun } from '../../shared/sweep/record';
import { isObject } from '../../shared/values';
import { makeRunDir } from '../run/runFolder';
import { findRuns, isActive, readFoundRun, type FoundRun } from './foundRuns';
import { runTraining } from './trainingProcess';

/** Where a run of a sweep stands. */
export interface SweptRun {
  readonly run: SweepRun;
  /** Null until it has a folder. */
  readonly dir: string | null;
  readonly state: RunState | 'not started';
  readonly result: RunResult | null;
  /** Of training; null before the first step. */
  readonly seconds: number | null;
  /** Why it failed, with place and advice. */
  readonly error: string | null;
}

/** How a run of a sweep begins: anew, from its last checkpoint, or in another process already. */
export type RunStart = 'started' | 'resumed' | 'awaited';

/** A sweep, and who hears of its runs. */
export interface SweepJob {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly parallel: number;
  readonly signal: AbortSignal;
  readonly onStart: (run: SweepRun, how: RunStart, dir: string) => void;
  readonly onMetric: (run: SweepRun, line: MetricLine) => void;
  readonly onWarning: (run: SweepRun, message: string) => void;
  readonly onEnd: (swept: SweptRun) => void;
}

/**
 * Trains the runs of a sweep that are not complete, `parallel` at a time. One that fails does not
 * stop the others. Returns all runs in their order.
 */
export async function runSweep(job: SweepJob): Promise<readonly SweptRun[]> {
  const { folder, sweep, parallel, signal } = job;
  const found = await findRuns(folder, sweep.runs);
  const swept = new Map<SweepRun, SweptRun>();
  for (const run of sweep.runs) swept.set(run, await outcomeOf(run, found.get(run.recipe) ?? null));
  const waiting = sweep.runs.filter((run) => swept.get(run)!.state !== 'completed').values();
  const trainNext = async () => {
    for (const run of waiting) {
      if (signal.aborted) return;
      swept.set(run, await trainOne(run, found.get(run.recipe) ?? null, job));
      job.onEnd(swept.get(run)!);
    }
  };
  await Promise.all(Array.from({ length: parallel }, trainNext));
  return [...swept.values()];
}

/** Trains one run of a sweep, and the receivers of its events. */
export type RunJob = Omit<SweepJob, 'parallel' | 'onEnd'>;

/** Starts a run, continues with it, or waits for the process that trains it. */
export async function trainOne(
  run: SweepRun,
  known: FoundRun | null,
  job: RunJob,
): Promise<SweptRun> {
  let dir = known?.dir ?? null;
  try {
    const isAwaited = known !== null && isActive(known);
    const found = isAwaited ? await awaited(known, run, job) : known;
    // another process may have left it to its target
    if (isAwaited && (!found?.isLeft || job.signal.aborted)) return await outcomeOf(run, found);
    const begun = hasBegun(found) ? found : null;
    dir = begun?.dir ?? (await makeNamedRun(job.folder, run.name));
    if (!isAwaited) job.onStart(run, startOf(begun), dir);
    await train(argumentsOf(begun, dir, run, job), run, job);
    return await outcomeOf(run, await readFoundRun(dir));
  } catch (error) {
    return failedRun(run, dir, error);
  }
}

async function failedRun(run: SweepRun, dir: string | null, error: unknown): Promise<SweptRun> {
  const outcome = await outcomeOf(run, dir === null ? null : await readFoundRun(dir));
  if (dir !== null && outcome.dir === null) await removeWithin(dir).catch(() => undefined);
  const state = outcome.dir === null ? 'failed' : outcome.state;
  return { ...outcome, state, error: LoraError.from(error, 'engine').describe() };
}

const hasBegun = (found: FoundRun | null): boolean =>
  found !== null && (found.isLeft || found.record.result.steps > 0);

function startOf(begun: FoundRun | null): RunStart {
  if (begun === null) return 'started';
  return begun.isLeft ? 'awaited' : 'resumed';
}

/** What follows or continues with a run that has begun, or starts it in a new folder. */
function argumentsOf(
  begun: FoundRun | null,
  dir: string,
  { recipe }: SweepRun,
  { folder, sweep: { target } }: RunJob,
): readonly string[] {
  if (begun?.isLeft) return ['attach', dir];
  if (begun) return ['train', '--resume', dir];
  const on = target === null ? [] : ['--on', target];
  return ['train', path.join(folder, recipe), '--run-dir', dir, ...on];
}

const train = (args: readonly string[], run: SweepRun, job: RunJob): Promise<void> =>
  runTraining({
    cli: job.cli,
    args,
    signal: job.signal,
    onMetric: (line) => job.onMetric(run, line),
    onWarning: (message) => job.onWarning(run, message),
  });

/** A new run's folder with the run's name, which VS Code shows. */
async function makeNamedRun(folder: string, name: string): Promise<string> {
  const root = runsOfSweep(folder);
  let dir = path.join(root, newRunId());
  while (await pathExists(dir)) dir = path.join(root, newRunId());
  await makeRunDir(dir);
  await writeJson(path.join(dir, NOTES_FILE), { name, tags: [], note: '' });
  return dir;
}

const awaited = (known: FoundRun, run: SweepRun, job: RunJob): Promise<FoundRun> => {
  job.onStart(run, 'awaited', known.dir);
  return endOf(known, job.signal);
};

const POLL_MS = 1_000;

/** Waits for a run that another process trains. */
async function endOf(known: FoundRun, signal: AbortSignal): Promise<FoundRun> {
  let now = known;
  while (isActive(now) && !signal.aborted) {
    await setTimeout(POLL_MS, undefined, { signal }).catch(() => undefined);
    now = (await readFoundRun(known.dir)) ?? now;
  }
  return now;
}

async function outcomeOf(run: SweepRun, found: FoundRun | null): Promise<SweptRun> {
  if (!found)
    return { run, dir: null, state: 'not started', result: null, seconds: null, error: null };
  const { dir, state, record } = found;
  const seconds = (await readLastStep(dir))?.elapsed ?? null;
  return { run, dir, state, result: record.result, seconds, error: describeError(record.error) };
}

/** The error of a run.json, which may be a stranger's. */
function describeError(error: unknown): string | null {
  if (!isObject(error)) return null;
  const { message, place, fix } = error;
  const file = isObject(place) ? place['file'] : undefined;
  return new LoraError('run', String(message), {
    ...(typeof file === 'string' && { place: { file } }),
    ...(typeof fix === 'string' && { fix }),
  }).describe();
}
