import path from 'node:path';
import { shellQuote } from '../../common/shellQuote';
import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import type { Recipe } from '../../shared/recipe';
import { newRunId, type RemoteRecord, type RunRecord } from '../../shared/run';
import { isJobId } from '../../targets/agent/places';
import { openTarget } from '../../targets/openTarget';
import type { Target } from '../../targets/target';
import { findTarget } from '../../targets/targetList';
import type { TargetEntry } from '../../targets/targetSchema';
import { requireRemote } from '../remote/remoteFile';
import { RemoteSupervisor, type JobStart } from '../remote/remoteSupervisor';
import { refuseUnfit } from '../remote/sending';
import { memoryOf } from '../remote/targetCheck';
import { gitCommit } from '../run/gitCommit';
import {
  makeRunDir,
  newRecord,
  newRunDir,
  readRecord,
  refuseUsedRunDir,
  withRunFolder,
} from '../run/runFolder';
import { EXIT_STOPPED } from '../stopSignal';
import { Trackers } from '../trackers/trackers';
import { examineRecipe } from '../training/examine';
import type { CommandContext } from './context';
import { withQuietProgress } from './progress';
import { describeEnd, trainingView } from './trainingView';

/** A recipe that is trained on a target. */
export interface RemoteTraining {
  readonly recipe: Recipe;
  readonly recipe_path: string;
  readonly run_dir: string | null;
  /** The name of the target. */
  readonly on: string;
}

/** lora train --on: checks the recipe here, sends what it needs, starts it there, and follows. */
export async function trainOnTarget(
  { recipe, recipe_path, run_dir, on }: RemoteTraining,
  context: CommandContext,
): Promise<number> {
  const entry = await findTarget(on);
  return withTarget(entry, context, async (target) => {
    const report = await target.check(context.signal);
    refuseUnfit(on, report.missing);
    await refuseFaulty(recipe, { file: recipe_path, available: memoryOf(report) }, context);
    const dir = run_dir ?? newRunDir(recipe_path);
    await makeRunDir(dir);
    return withRunFolder(dir, async () => {
      await refuseUsedRunDir(dir);
      const record = newRecord(dir, {
        recipe,
        recipe_path,
        extension: context.version,
        git_commit: await gitCommit(path.dirname(recipe_path)),
      });
      const start = { ...startOn(entry, context), resume: false, before: null };
      return supervise({ record, remote: newRemote(entry, dir), dir, target, start }, context);
    });
  });
}

/** lora train --resume of a run on a target: continues there from its last checkpoint. */
export async function resumeOnTarget(dir: string, context: CommandContext): Promise<number> {
  const remote = await requireRemote(dir);
  const entry = await entryOf(remote);
  return withTarget(entry, context, (target) =>
    withRunFolder(dir, async () => {
      const before = await readRecord(dir);
      if (before.state === 'completed')
        throw new LoraError('run', 'The run is complete: there is nothing left to do.', {
          place: { file: dir },
        });
      const record: RunRecord = { ...before, state: 'preparing', ended: null, error: null };
      const { handle } = remote;
      const start = { ...startOn(entry, context), resume: handle !== null, before };
      return supervise({ record, remote, dir, target, start }, context);
    }),
  );
}

/** What a start takes from the entry of the target. */
const startOn = (entry: TargetEntry, { dist }: CommandContext) => ({
  dist,
  bases: entry.bases,
  workers: entry.kind === 'ray' && entry.engine === 'ray-train' ? entry.workers : null,
});

/** lora attach: follows a run on a target, whose folder is here. */
export async function attachRun(dir: string, context: CommandContext): Promise<number> {
  const remote = await requireRemote(dir);
  return withTarget(await entryOf(remote), context, (target) =>
    withRunFolder(dir, async () => {
      const found = await started(remote, target, context.signal);
      const record = await readRecord(dir);
      return supervise({ record, remote: found, dir, target, start: null }, context);
    }),
  );
}

/** The entry of the target of a run. @throws LoraError('target') when it is another one by now */
export async function entryOf({ target }: RemoteRecord): Promise<TargetEntry> {
  const entry = await findTarget(target.name);
  if (entry.kind === target.kind && placeOf(entry) === target.place) return entry;
  throw new LoraError(
    'target',
    `The run was started on ${target.kind} ${target.place}, but ${target.name} is ${entry.kind} ${placeOf(entry)} now.`,
    { fix: 'Give the target of the run its name again in targets.json.' },
  );
}

/** Opens a target for a job, and disposes of it. */
export async function withTarget<T>(
  entry: TargetEntry,
  { dist }: Pick<CommandContext, 'dist'>,
  use: (target: Target) => Promise<T>,
): Promise<T> {
  const target = await openTarget(entry, { dist, env: process.env });
  try {
    return await use(target);
  } finally {
    target.dispose();
  }
}

/** Where an entry leads, for people and to tell whether it is the same as before. */
export const placeOf = (entry: TargetEntry): string =>
  entry.kind === 'ray' ? entry.address : entry.host;

/** remote.json of a run that is about to be started. */
export const newRemote = (entry: TargetEntry, dir: string): RemoteRecord => ({
  version: 1,
  target: { name: entry.name, kind: entry.kind, place: placeOf(entry) },
  job: isJobId(path.basename(dir)) ? path.basename(dir) : newRunId(),
  handle: null,
  sent: {},
  clock_ahead: null,
  connection: { state: 'closed', since: new Date().toISOString(), reason: null },
  checkpoints: [],
});

/**
 * The record with what finds the job again: this process may have ended right after it started it.
 *
 * @throws LoraError('run') when it has never been started
 */
export async function started(
  remote: RemoteRecord,
  target: Target,
  signal: AbortSignal,
): Promise<RemoteRecord> {
  if (remote.handle !== null) return remote;
  const found = (await target.jobs(signal)).find(({ job }) => job === remote.job);
  if (found) return { ...remote, handle: found.values };
  throw new LoraError('run', `The run has never been started on ${target.name}.`, {
    fix: 'Start it with lora train --resume.',
  });
}

interface Checked {
  readonly file: string;
  readonly available: number | null;
}

/** Checks a recipe as `lora check` does, against the memory of the target. @throws LoraError */
export async function refuseFaulty(
  recipe: Recipe,
  { file, available }: Checked,
  context: CommandContext,
): Promise<void> {
  refuseEvaluations(recipe, file);
  const { problems, datasets } = await withQuietProgress(context, 'checking rows', (report) =>
    examineRecipe(recipe, file, { report, available, info: context.note }),
  );
  const all = [...problems, ...datasets.flatMap((dataset) => dataset.problems)];
  const errors = all.filter(({ severity }) => severity === 'error');
  const [only] = errors;
  for (const { message, severity } of all) if (severity === 'warning') context.warn(message);
  if (only === undefined) return;
  if (errors.length === 1)
    throw new LoraError('recipe', only.message, only.place && { place: only.place });
  throw new LoraError('recipe', 'The recipe cannot be trained.', {
    place: { file },
    problems: errors,
  });
}

/** @throws LoraError('recipe') for suites and general questions, which are not sent */
function refuseEvaluations({ evaluate: { suites, forgetting } }: Recipe, file: string): void {
  const refuse = (key: string, message: string, fix: string) =>
    new LoraError('recipe', message, { place: { file, key: `evaluate.${key}` }, fix });
  if (suites.length > 0)
    throw refuse(
      'suites',
      'Suites are not answered on targets.',
      'Remove them, and use lora evaluate when the run is back.',
    );
  if (forgetting)
    throw refuse('forgetting', 'Forgetting is not measured on targets.', 'Set it to false.');
}

/** A run on a target whose folder this process owns. */
interface Supervised {
  readonly record: RunRecord;
  readonly remote: RemoteRecord;
  readonly dir: string;
  readonly target: Target;
  readonly start: JobStart | null;
}

/** Starts or follows a run on a target, and shows it. Gives the exit code. */
export async function supervise(
  { record, remote, dir, target, start }: Supervised,
  context: CommandContext,
): Promise<number> {
  const view = trainingView(context, dir);
  const trackers = trackersOf({ record, dir, start }, context);
  const onMetric = (line: MetricLine) => {
    view.hooks.onMetric?.(line);
    trackers.add(line);
  };
  const end = await RemoteSupervisor.run(
    { record, remote, run_dir: dir, target, start, ...view.hooks, onMetric },
    context.signal,
  ).catch(async (error: unknown) => {
    await trackers.close(record);
    throw error;
  });
  await trackers.close(end.kind === 'ended' ? end.record : record);
  if (end.kind === 'detached') {
    context.note(describeLeft(end.isStarted, dir, target.name));
    return EXIT_STOPPED;
  }
  view.finish(end.record);
  if (end.record.state === 'completed') return 0;
  if (end.record.error && start === null) context.note(describeEnd(end.record, dir));
  return end.record.state === 'stopped' ? EXIT_STOPPED : 1;
}

/** The trackers of a run on a target are fed here. */
const trackersOf = (
  { record, dir, start }: Pick<Supervised, 'record' | 'dir' | 'start'>,
  { warn }: CommandContext,
): Trackers =>
  new Trackers({
    record,
    run_dir: dir,
    resumed: start !== null && !start.resume ? null : record.result.steps,
    env: process.env,
    warn,
  });

function describeLeft(isStarted: boolean, dir: string, name: string): string {
  const folder = shellQuote(dir);
  return isStarted
    ? `The run continues on ${name}. Follow it with: lora attach ${folder}\nStop it with: lora stop ${folder}`
    : `Nothing was started on ${name}.`;
}
