import { stdin, stdout } from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import * as v from 'valibot';
import { writeErrorReason } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import { Bucket } from './bucket';
import { KeptRun } from './keptRun';
import { RunKeeper } from './runKeeper';

// A program beside the engine on a node of Ray, started by engine/ray/kept.py: it keeps the run in
// a bucket. What it has to do is its argument; the key of the bucket is in its environment.

const common = {
  bucket: v.object({
    url: v.string(),
    endpoint: v.nullable(v.string()),
    region: v.nullable(v.string()),
  }),
  job: v.string(),
  run: v.string(),
};
const TaskSchema = v.variant('mode', [
  v.object({ ...common, mode: v.literal('restore'), resume: v.boolean() }),
  v.object({ ...common, mode: v.literal('keep'), root: v.string(), attempt: v.number() }),
]);

type Task = v.InferOutput<typeof TaskSchema>;
type Restoring = Extract<Task, { mode: 'restore' }>;
type Keeping = Extract<Task, { mode: 'keep' }>;

const KEEP_MS = 1_000;
const RETRY_MS = 30_000;
const { signal: never } = new AbortController();

/** Brings what an earlier job has kept, and finds out whether this one may write. */
async function restore(kept: KeptRun, { run, resume }: Restoring): Promise<void> {
  const latest = await kept.latest(never);
  if (latest !== null && !resume)
    throw new LoraError('target', 'A run with this id is in the bucket already.');
  if (latest !== null) await kept.restore(latest, run, never);
  const attempt = await kept.reserve(never);
  say(JSON.stringify({ attempt, root: latest?.manifest.root ?? null }));
}

/** Until standard input ends, with the run. */
async function keep(kept: KeptRun, { run, root, attempt }: Keeping): Promise<void> {
  const keeper = new RunKeeper(kept, { run, root, attempt });
  const end = new AbortController();
  stdin.resume();
  stdin.once('end', () => end.abort()).once('error', () => end.abort());
  // Ray sends it to the whole job, which ends by itself
  process.on('SIGTERM', () => undefined);
  while (!end.signal.aborted) {
    const pause = await keeper.keep(never).then(
      () => KEEP_MS,
      (error: unknown) => {
        say(`The run was not kept: ${reasonOf(error)}`);
        return RETRY_MS;
      },
    );
    await wait(pause, undefined, { signal: end.signal }).catch(() => undefined);
  }
  await keeper.keep(never, true);
}

const say = (text: string): void => void stdout.write(`${text}\n`);

const reasonOf = (error: unknown): string =>
  error instanceof LoraError ? error.message : `${writeErrorReason(error)}.`;

async function main(): Promise<void> {
  try {
    const task = v.parse(TaskSchema, JSON.parse(process.argv[2] ?? ''));
    const kept = new KeptRun(Bucket.open(task.bucket, process.env), task.job);
    await (task.mode === 'restore' ? restore(kept, task) : keep(kept, task));
  } catch (error) {
    say(reasonOf(error));
    process.exitCode = 1;
  }
}

void main();
