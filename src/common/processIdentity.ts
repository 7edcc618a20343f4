import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { findProgram, type Environment } from './programs';
import { outputOf } from './startProcess';
import { isProcessAlive } from './system';

/**
 * Identifies one process permanently: a process id alone can be reused once the process has ended.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in the system's own notation; null where the system does not tell. */
  readonly start: string | null;
  /** The machine, or the container, in which the process id counts. */
  readonly machine: string;
}

const ASK_TIMEOUT_MS = 10_000;

let machine: string | undefined;

/** This machine. On Linux also since when it runs, and its space of process ids. */
export const thisMachine = (): string => (machine ??= describeMachine());

function describeMachine(): string {
  if (process.platform !== 'linux') return hostname();
  return [
    hostname(),
    readOrEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    readOrEmpty(() => readlinkSync('/proc/self/ns/pid')),
  ].join(' ');
}

function readOrEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

let own: Promise<ProcessIdentity> | undefined;

/** The identity of this process. */
export const thisProcess = (): Promise<ProcessIdentity> => (own ??= identityOf(process.pid));

/** The identity of a process of this machine that is running now. */
export const identityOf = async (pid: number): Promise<ProcessIdentity> => ({
  pid,
  start: (await startOf(pid)) ?? null,
  machine: thisMachine(),
});

/** Whether a process of this machine is running: the very one, not a later one with its id. */
export async function isRunning({ pid, start }: ProcessIdentity): Promise<boolean> {
  if (!isProcessAlive(pid)) return false;
  const now = await startOf(pid);
  if (now === undefined) return false;
  return now === null || start === null || now === start;
}

/**
 * The same without starting another program: undefined where that would be needed (macOS and
 * Windows).
 */
export function isRunningNow({ pid, start }: ProcessIdentity): boolean | undefined {
  if (process.platform !== 'linux' || start === null) return undefined;
  return startOnLinux(pid) === start;
}

/** Null: the system does not tell; undefined: there is no such process. */
async function startOf(pid: number): Promise<string | null | undefined> {
  switch (process.platform) {
    case 'linux':
      return startOnLinux(pid);
    case 'win32':
      return startOnWindows(pid);
    default:
      return startOnUnix(pid);
  }
}

/** Field 22 of /proc/PID/stat: clock ticks since the machine started. */
function startOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the second field is the program's name in brackets, which may contain anything
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return isEnded(state!) ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

async function startOnUnix(pid: number): Promise<string | null | undefined> {
  // the time is written in the language and the time zone of the environment
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  const answer = await ask('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], env);
  // ps ends with 1 where there is no such process
  if (answer?.exitCode === 1) return undefined;
  if (answer?.exitCode !== 0) return null;
  const [state = '', ...start] = answer.stdout.trim().split(/\s+/);
  return isEnded(state) || start.length === 0 ? undefined : start.join(' ');
}

/** Where PowerShell may not run, the process id alone decides. */
async function startOnWindows(pid: number): Promise<string | null> {
  const script = `(Get-Process -Id ${pid}).StartTime.ToFileTimeUtc()`;
  const args = ['-NoProfile', '-NonInteractive', '-Command', script];
  const answer = await ask('powershell', args, process.env);
  return /^\d+$/.exec(answer?.stdout.trim() ?? '')?.[0] ?? null;
}

/** Null where there is no such program, or it cannot be started. */
async function ask(name: string, args: readonly string[], env: Environment) {
  const program = findProgram(name, env);
  if (program === null) return null;
  return outputOf(program, args, { env, timeout: ASK_TIMEOUT_MS }).catch(() => null);
}

/** Z: it has ended, and its parent has not noticed; X: it is ending. */
const isEnded = (state: string): boolean => /^[ZX]/.test(state);
