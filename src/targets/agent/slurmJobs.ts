import { rm, writeFile } from 'node:fs/promises';
import { Duplex, PassThrough } from 'node:stream';
import { writeJson } from '../../common/atomicWrite';
import { LineSplitter, MAX_MESSAGE_BYTES } from '../../common/lineSplitter';
import { findProgram } from '../../common/programs';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { startProcess } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import {
  NO_FOLDER,
  NO_NODE_THERE,
  parseSacct,
  parseScontrolJob,
  parseSinfo,
  SINFO_FORMAT,
  stateOf,
} from '../slurm/slurmText';
import type { JobState } from '../target';
import type { Answer, StartedJob } from './protocol';
import type { Places } from './places';

/** What is needed on the login node; sacct is asked where there is one. */
const PROGRAMS = ['sbatch', 'scontrol', 'scancel', 'sinfo', 'srun'];
/** The most that is read of what a program prints. */
const MAX_OUTPUT = 2 ** 20;
const ASK_TIMEOUT_MS = 20_000;
const JOIN_TIMEOUT_MS = 60_000;
/** How long an answer of the controller counts: it serves the whole cluster. */
const FRESH_MS = 5_000;

/**
 * The script of all jobs. $1: Node; $2: the engine; $3: the folder of the job. A job that Slurm
 * starts again has a run, which continues from its last checkpoint; the file `begun` tells that an
 * end in its run.json is older. The engine takes the place of the shell, so that Slurm's signals
 * reach it.
 */
const JOB_SCRIPT = `#!/bin/sh
cd "$3" && [ -w run ] && : >begun || exit ${NO_FOLDER}
exec >>run/engine.log 2>&1 </dev/null
[ -x "$1" ] || exit ${NO_NODE_THERE}
[ -e run/run.json ] && exec "$1" "$2" train --resume run
exec "$1" "$2" train lora.json --run-dir run
`;

/**
 * Joins standard input and output with a pipe of the user on the node of a job. srun passes output
 * on by whole lines, so each piece is one.
 */
const JOIN_SCRIPT = [
  'const [file]=process.argv.slice(1),info=require("fs").lstatSync(file)',
  'if(!info.isSocket()||info.uid!==process.getuid())process.exit(1)',
  'const socket=require("net").connect(file)',
  'const say=(bytes)=>process.stdout.write(bytes.toString("base64")+"\\n")',
  'socket.on("connect",()=>say(Buffer.alloc(0))).on("data",say)',
  'socket.on("error",()=>process.exit(1)).on("close",()=>process.exit())',
  'process.stdin.pipe(socket)',
].join(';');

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the folder of a run tells. */
export interface RunThere {
  /** By what the job wrote that was started last. */
  readonly hasEnded: boolean;
  readonly isAlive: boolean;
}

/** Whether a run has gone on since Slurm told its state. */
const contradicts = ({ hasEnded, isAlive }: RunThere, { kind }: JobState): boolean =>
  (kind === 'running' && hasEnded) || (kind === 'queued' && isAlive);

/** Jobs that Slurm runs: a file in the folder of each tells its number. */
export class SlurmJobs {
  private readonly known = new Map<string, { readonly state: JobState; readonly at: number }>();

  constructor(private readonly places: Places) {}

  /** Null: Slurm does not run the job. */
  async numberOf(job: string): Promise<number | null> {
    const text = await readTextFile(this.places.slurm(job), {
      maxBytes: MAX_BYTES.smallRecord,
    }).catch(() => 'null');
    const value: unknown = JSON.parse(text);
    return isObject(value) && Number.isInteger(value['number']) ? Number(value['number']) : null;
  }

  /** Hands a job whose folder is ready to Slurm. Gives its number. */
  async submit({ job, env }: StartedJob, cli: string, options: readonly string[]): Promise<number> {
    const { places } = this;
    await rm(places.slurm(job), { force: true });
    await writeFile(places.script(job), JOB_SCRIPT, { mode: 0o700 });
    const args = [
      ...options,
      '--parsable',
      '--requeue',
      '--open-mode=append',
      '--export=ALL',
      '--nodes=1',
      '--ntasks=1',
      `--job-name=lora-${job}`,
      `--chdir=${places.job(job)}`,
      // the script writes the log: Slurm replaces % in names of files
      '--output=/dev/null',
      '--error=/dev/null',
      places.script(job),
      process.execPath,
      cli,
      places.job(job),
    ];
    const { exitCode, stdout, stderr } = await ask('sbatch', args, env);
    const [number] = /^\d+(?=;|\n|$)/.exec(stdout) ?? [];
    if (exitCode !== 0 || number === undefined)
      throw new Error(`Slurm does not take the job: ${lastSaid(stderr)}`);
    this.known.delete(job);
    await writeJson(places.slurm(job), { number: Number(number) });
    return Number(number);
  }

  async state(job: string, number: number, run: RunThere): Promise<JobState> {
    const known = this.known.get(job);
    const isFresh = known && performance.now() - known.at < FRESH_MS;
    if (isFresh && !contradicts(run, known.state)) return known.state;
    const state = await this.askState(number);
    // forgotten by Slurm, whose memory is short: the run's folder tells the end
    const last: JobState = { kind: 'ended', exitCode: null, reason: null, isLost: false };
    const told = state.kind === 'unknown' && run.hasEnded ? last : state;
    this.known.set(job, { state: told, at: performance.now() });
    return told;
  }

  /** At once: a job that is only cancelled has half a minute to save what it has. */
  async stop(number: number): Promise<void> {
    await ask('scancel', ['--signal=KILL', '--batch', String(number)]);
    const { exitCode, stderr } = await ask('scancel', [String(number)]);
    if (exitCode !== 0 && !/already compl|Invalid job id/i.test(stderr))
      throw new Error(`Slurm does not cancel the job: ${lastSaid(stderr)}`);
  }

  /** A connection to a pipe on the node of a running job; null while there is none. */
  join(number: number, pipe: string): Promise<Duplex | null> {
    const srun = program('srun');
    const node = [process.execPath, '-e', JOIN_SCRIPT, pipe];
    const options = ['--overlap', '--quiet', '--nodes=1', '--ntasks=1', '--chdir=/'];
    const child = startProcess(srun, [`--jobid=${number}`, ...options, ...node], {
      env: process.env,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const output = new PassThrough();
    const both = Duplex.from({ readable: output, writable: child.stdin! });
    const end = () => void child.kill();
    both.once('close', end).on('error', end);
    child.stdin!.on('error', end);
    return new Promise((resolve) => {
      const limit = setTimeout(end, JOIN_TIMEOUT_MS);
      const lines = new LineSplitter((line) => {
        clearTimeout(limit);
        resolve(both);
        output.write(Buffer.from(line?.toString('latin1') ?? '', 'base64'));
      }, MAX_MESSAGE_BYTES);
      child.stdout!.on('data', (chunk: Buffer) => lines.push(chunk));
      child.once('error', () => resolve(null));
      child.once('close', () => {
        clearTimeout(limit);
        output.end();
        resolve(null);
      });
    });
  }

  /** What the cluster has. */
  async describe(): Promise<Answer<'cluster'>> {
    const missing = PROGRAMS.filter((name) => findProgram(name, process.env) === null);
    if (missing.length > 0) return { missing, refusal: null, groups: [] };
    const { exitCode, stdout, stderr } = await ask('sinfo', ['-h', `-o${SINFO_FORMAT}`]);
    return {
      missing,
      refusal: exitCode === 0 ? null : lastSaid(stderr),
      groups: [...parseSinfo(stdout)],
    };
  }

  private async askState(number: number): Promise<JobState> {
    const shown = await ask('scontrol', ['--oneliner', 'show', 'job', String(number)]);
    const job = shown.exitCode === 0 ? parseScontrolJob(shown.stdout) : null;
    if (job) return stateOf(job);
    if (!/Invalid job id/i.test(shown.stderr))
      throw new Error(`Slurm does not answer: ${lastSaid(shown.stderr)}`);
    if (findProgram('sacct', process.env) === null) return { kind: 'unknown' };
    const format = ['--noheader', '--parsable2', '--allocations', '--format=State,ExitCode'];
    const { stdout } = await ask('sacct', [...format, `--jobs=${number}`]);
    const accounted = parseSacct(stdout);
    const state = accounted && stateOf(accounted);
    // the accounting may never have heard of the end of a job that the controller has forgotten
    return state?.kind === 'ended' ? state : { kind: 'unknown' };
  }
}

function program(name: string): string {
  const found = findProgram(name, process.env);
  if (found !== null) return found;
  throw new LoraError('target', `There is no ${name} on the PATH, so it is no node of Slurm.`, {
    fix: 'Name a login node of the cluster as "host" in targets.json.',
  });
}

function ask(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = startProcess(program(name), args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: ASK_TIMEOUT_MS,
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        said[stream] = (said[stream] + text).slice(0, MAX_OUTPUT);
      });
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, ...said }));
  });
}

/** 'sbatch: error: Batch job submission failed: …' without the names before it. */
function lastSaid(stderr: string): string {
  const lines = stderr.trim().split('\n');
  const words = lines.at(-1)!.replace(/^(?:\w+: )?(?:error: |fatal: )?/, '');
  return words === '' ? 'it does not say why' : words.slice(0, 500);
}
