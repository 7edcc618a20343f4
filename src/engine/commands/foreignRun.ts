import path from 'node:path';
import { MAX_BYTES } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import { RUN_FILES, RUNS_FOLDER, type RemoteRecord, type RunRecord } from '../../shared/run';
import { isObject } from '../../shared/values';
import type { JobHandle, Target } from '../../targets/target';
import { findTarget } from '../../targets/targetList';
import { mergeRecord } from '../remote/mergeRecord';
import { pullBytes } from '../remote/pulledFiles';
import { makeRunDir, newRecord, refuseUsedRunDir, withRunFolder } from '../run/runFolder';
import type { CommandContext } from './context';
import { newRemote, supervise, withTarget } from './remoteTraining';

/** A run that was started elsewhere. */
interface ForeignRun {
  readonly target: string;
  /** Its id, or 'last'. */
  readonly run: string;
  readonly run_dir: string | null;
}

/** Follows a run of a target in a new folder. */
export async function attachForeign(
  { target: name, run, run_dir }: ForeignRun,
  context: CommandContext,
): Promise<number> {
  const entry = await findTarget(name);
  return withTarget(entry, context, async (target) => {
    const handle = await findJob(target, run, context.signal);
    const dir = run_dir ?? path.resolve(RUNS_FOLDER, handle.job);
    await makeRunDir(dir);
    return withRunFolder(dir, async () => {
      await refuseUsedRunDir(dir);
      const remote: RemoteRecord = {
        ...newRemote(entry, dir),
        job: handle.job,
        handle: handle.values,
      };
      const record = await recordThere({ target, handle, dir }, context);
      return supervise({ record, remote, dir, target, start: null }, context);
    });
  });
}

async function findJob(target: Target, run: string, signal: AbortSignal): Promise<JobHandle> {
  const jobs = await target.jobs(signal);
  const found = run === 'last' ? jobs[0] : jobs.find(({ job }) => job === run);
  if (found) return found;
  const known = jobs.slice(0, 5).map(({ job }) => job);
  throw new LoraError('usage', `${target.name} has no run ${JSON.stringify(run)}.`, {
    fix: known.length === 0 ? 'It has none yet.' : `Its newest are ${known.join(', ')}.`,
  });
}

/** The record of a run whose recipe is there alone: its paths are those there. */
async function recordThere(
  { target, handle, dir }: { target: Target; handle: JobHandle; dir: string },
  { version, signal }: CommandContext,
): Promise<RunRecord> {
  const files = await target.list(handle, signal);
  const file = files.find(({ path: name }) => name === RUN_FILES.record);
  const notStarted = new LoraError('run', `The run on ${target.name} has not begun yet.`, {
    fix: 'Follow it when its engine has started.',
  });
  if (!file) throw notStarted;
  const job = { target, handle, run_dir: dir, signal };
  const value = parsed(await pullBytes(job, file.path, MAX_BYTES.runRecord));
  const { recipe } = checkRecipe(JSON.stringify(value['recipe']), '/lora.json');
  if (recipe) {
    const record = newRecord(dir, {
      recipe,
      recipe_path: null,
      extension: version,
      git_commit: null,
    });
    const merged = mergeRecord(record, value, { sent: {}, clock_ahead: null });
    // an end is recorded with what was trained
    if (merged) return { ...record, state: 'running', total_steps: merged.total_steps };
  }
  throw new LoraError('run', `run.json on ${target.name} is not valid.`);
}

function parsed(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
