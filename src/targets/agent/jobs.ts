import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { writeJson } from '../../common/atomicWrite';
import { hashFile } from '../../common/hashFile';
import { makeFolder } from '../../common/makeFolder';
import {
  identityOf,
  isRunning,
  thisMachine,
  type ProcessIdentity,
} from '../../common/processIdentity';
import { listFolder, openRegularFile, readTextFile, MAX_BYTES } from '../../common/regularFile';
import { startProcess } from '../../common/startProcess';
import { openForAppending } from '../../common/withoutLinks';
import { isEngineAlive, readEngineRecord } from '../../formats/run/engineRecord';
import { ENDED_STATES, RUN_FILES, type RunState } from '../../shared/run';
import { isObject } from '../../shared/values';
import { MAX_FILES, MAX_JOBS, type JobState, type RemoteFile } from '../target';
import { MAX_BODY_BYTES } from './frames';
import { inside, isJobId, type Places } from './places';
import type { Questions, StartedJob } from './protocol';
import { SlurmJobs, type RunThere } from './slurmJobs';

const SHELL = '/bin/sh';
/** Keeps the exit code, which nobody waits for. */
const KEEP_EXIT_CODE = '"$@"; echo $? > "$0"';
/** Levels of folders in the folder of a run. */
const MAX_DEPTH = 4;

/** Starts jobs and reads the folders of their runs. */
export class Jobs {
  readonly slurm: SlurmJobs;

  constructor(private readonly places: Places) {
    this.slurm = new SlurmJobs(places);
  }

  /** Starts a job that survives this process. Gives its process id, or its number in Slurm. */
  async start(started: StartedJob): Promise<number> {
    const { places } = this;
    const { job, engine, recipe, resume, sbatch } = started;
    await makeFolder(places.jobs);
    if (resume) await this.refuseRunning(job);
    else await makeNew(places.job(job));
    for (const of of ['exit', 'process', 'slurm', 'begun'] as const)
      await rm(places[of](job), { force: true });
    await writeFile(places.recipe(job), recipe, { mode: 0o600 });
    await mkdir(places.run(job), { recursive: true, mode: 0o700 });
    const cli = path.join(places.item(engine), 'cli.js');
    const takeBack = await markBegun(path.join(places.run(job), RUN_FILES.record));
    try {
      if (sbatch === null) return await this.spawn(started, cli);
      return await this.slurm.submit(started, cli, sbatch);
    } catch (error) {
      // so that it can be started again
      if (!resume) await rm(places.job(job), { recursive: true, force: true });
      else await takeBack();
      throw error;
    }
  }

  private async spawn({ job, resume, env }: StartedJob, cli: string): Promise<number> {
    const { places } = this;
    const run = places.run(job);
    const canResume = resume && (await isThere(path.join(run, RUN_FILES.record)));
    const args = canResume ? ['--resume', run] : [places.recipe(job), '--run-dir', run];
    const log = await openForAppending(path.join(run, RUN_FILES.log), run, 0o600);
    try {
      const child = startProcess(
        SHELL,
        ['-c', KEEP_EXIT_CODE, places.exit(job), process.execPath, cli, 'train', ...args],
        {
          detached: true,
          cwd: places.job(job),
          stdio: ['ignore', log.fd, log.fd],
          env: { ...process.env, ...env },
        },
      );
      await new Promise<void>((resolve, reject) =>
        child.once('spawn', resolve).once('error', reject),
      );
      child.unref();
      const pid = child.pid!;
      await writeJson(places.process(job), await identityOf(pid));
      return pid;
    } finally {
      await log.close();
    }
  }

  /** The newest first: their names are times. */
  async list(): Promise<string[]> {
    const entries = await listFolder(this.places.jobs).catch(() => []);
    const jobs = entries.map(({ name }) => name).filter(isJobId);
    return jobs.sort().reverse().slice(0, MAX_JOBS);
  }

  async state(job: string): Promise<JobState> {
    if (!(await isThere(this.places.job(job)))) return { kind: 'unknown' };
    const number = await this.slurm.numberOf(job);
    if (number !== null) return this.stateInSlurm(job, number);
    // looked at before the exit code, which is written last
    const identity = await this.identity(job);
    const running = identity !== null && (await isRunning(identity));
    const code = await readFile(this.places.exit(job), 'utf8').catch(() => '');
    if (/^\d+\n$/.test(code))
      return { kind: 'ended', exitCode: Number(code), reason: null, isLost: false };
    if (running) return { kind: 'running' };
    return { kind: 'ended', exitCode: null, reason: null, isLost: false };
  }

  async files(job: string): Promise<RemoteFile[]> {
    const files: RemoteFile[] = [];
    await collectFiles(this.places.run(job), '', files);
    return files;
  }

  async read({ job, file, offset, maxBytes }: Questions['read']): Promise<Buffer> {
    const { handle } = await openRegularFile(inside(this.places.run(job), file), 'refused');
    try {
      const buffer = Buffer.alloc(Math.min(maxBytes, MAX_BODY_BYTES));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  hash(job: string, file: string): Promise<string> {
    return hashFile(inside(this.places.run(job), file));
  }

  /** Ends the processes of a job at once. */
  async stop(job: string): Promise<void> {
    const number = await this.slurm.numberOf(job);
    if (number !== null) return this.slurm.stop(number);
    const identity = await this.identity(job);
    if (identity !== null && (await isRunning(identity))) process.kill(-identity.pid, 'SIGKILL');
  }

  /** Ends a job and removes its folder; its items stay, which other jobs may use. */
  async remove(job: string): Promise<void> {
    await this.stop(job);
    // what the ended process still writes may come back at first
    await rm(this.places.job(job), { recursive: true, force: true, maxRetries: 5 });
  }

  /** A connection to the engine of a job; null while there is none. */
  async join(job: string): Promise<Duplex | null> {
    const engine = await readEngineRecord(this.places.run(job));
    if (engine === null) return null;
    const number = await this.slurm.numberOf(job);
    if (number !== null && engine.machine !== thisMachine()) {
      const { kind } = await this.state(job);
      return kind === 'running' ? this.slurm.join(number, engine.pipe) : null;
    }
    const info = await lstat(engine.pipe).catch(() => null);
    if (!info?.isSocket() || info.uid !== process.getuid?.()) return null;
    return new Promise((resolve) => {
      const socket = connect(engine.pipe);
      socket.once('error', () => resolve(null));
      socket.once('connect', () => resolve(socket));
    });
  }

  private async stateInSlurm(job: string, number: number): Promise<JobState> {
    const run = await this.runOf(job);
    const state = await this.slurm.state(job, number, run);
    const isOver = state.kind === 'ended' || state.kind === 'unknown';
    // an engine that was started again and has died at once leaves the end of the one before it
    if (isOver && run.isOutdated)
      await markBegun(path.join(this.places.run(job), RUN_FILES.record));
    return state;
  }

  private async runOf(job: string): Promise<RunThere & { readonly isOutdated: boolean }> {
    const file = path.join(this.places.run(job), RUN_FILES.record);
    const record: unknown = await readTextFile(file, { maxBytes: MAX_BYTES.runRecord })
      .then(JSON.parse)
      .catch(() => null);
    const state = isObject(record) ? (record['state'] as RunState) : 'preparing';
    const [begun, written] = await Promise.all([this.places.begun(job), file].map(changeOf));
    const isOutdated = state !== 'completed' && begun! > written!;
    return {
      hasEnded: ENDED_STATES.has(state) && !isOutdated,
      isAlive: isEngineAlive(await readEngineRecord(this.places.run(job)), Date.now()),
      isOutdated,
    };
  }

  private async identity(job: string): Promise<ProcessIdentity | null> {
    const text = await readTextFile(this.places.process(job), {
      maxBytes: MAX_BYTES.smallRecord,
    }).catch(() => null);
    return text === null ? null : (JSON.parse(text) as ProcessIdentity);
  }

  private async refuseRunning(job: string): Promise<void> {
    const { kind } = await this.state(job);
    if (kind === 'unknown') throw new Error(`there is no run ${job}`);
    if (kind === 'running' || kind === 'queued')
      throw new Error(`the run ${job} is still being trained`);
  }
}

/**
 * Makes run.json say that the run has begun again: the end of its last engine is not that of the
 * one that is started, which may die before it writes. A complete run stays. Gives what undoes it.
 */
async function markBegun(file: string): Promise<() => Promise<void>> {
  const record: unknown = await readTextFile(file, {
    maxBytes: MAX_BYTES.runRecord,
    links: 'refused',
  })
    .then(JSON.parse)
    .catch(() => null);
  const hasEnded = isObject(record) && ENDED_STATES.has(record['state'] as RunState);
  if (!hasEnded || record['state'] === 'completed') return () => Promise.resolve();
  await writeJson(file, { ...record, state: 'preparing', ended: null, error: null });
  return () => writeJson(file, record);
}

async function makeNew(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST'
      ? new Error(`there is a run ${path.basename(folder)} already`)
      : error;
  });
}

const isThere = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

/** When a file was written; 0 for none. */
const changeOf = (file: string): Promise<number> =>
  lstat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

/** Regular files only; links are not followed. */
async function collectFiles(folder: string, prefix: string, files: RemoteFile[]): Promise<void> {
  for (const entry of await listFolder(folder).catch(() => [])) {
    if (files.length >= MAX_FILES) return;
    const file = path.join(folder, entry.name);
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory() && prefix.split('/').length <= MAX_DEPTH)
      await collectFiles(file, `${name}/`, files);
    if (!entry.isFile()) continue;
    // it may be gone by now
    const info = await lstat(file).catch(() => null);
    if (info?.isFile())
      files.push({ path: name, size: info.size, version: `${info.ino}:${info.mtimeMs}` });
  }
}
