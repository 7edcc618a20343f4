import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { LoraError, type SerializedError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import { t } from '../l10n';
import { readEngineRecord } from './engineClient';

export interface EngineCommand {
  /** A Node, or the editor's own executable, which ELECTRON_RUN_AS_NODE makes one. */
  readonly node: string;
  /** dist/cli.js */
  readonly cli: string;
  readonly args: readonly string[];
  readonly runDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const LOOK_EVERY_MS = 100;

/** Starts the engine as a process of its own that outlives this one, its output in the run's log, and waits until it can be reached.
 *  Errors: LoraError, as the engine itself told it where it could. */
export async function startEngine(command: EngineCommand): Promise<void> {
  const engine = await launch(command);
  const earlier = await readEngineRecord(command.runDir);
  while (!engine.ended()) {
    const record = await readEngineRecord(command.runDir);
    if (record && record.pid !== earlier?.pid) return;
    await engine.wait(LOOK_EVERY_MS);
  }
  if (engine.exitCode() !== 0) throw await failureOf(command.runDir, engine.exitCode());
}

interface Launched {
  readonly ended: () => boolean;
  readonly exitCode: () => number | null;
  /** Until the process ends, at most so long. */
  readonly wait: (ms: number) => Promise<void>;
}

async function launch({ node, cli, args, runDir, env }: EngineCommand): Promise<Launched> {
  const log = await openLog(runDir);
  const child = spawn(node, [cli, ...args], {
    cwd: runDir, detached: true, windowsHide: true, stdio: ['ignore', log, log], env: { ...process.env, ...env, ELECTRON_RUN_AS_NODE: '1' },
  });
  closeSync(log);
  child.unref();
  let failure: Error | undefined;
  const end = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', (error) => {
      failure = error;
      resolve();
    });
  });
  return {
    ended: () => {
      if (failure) throw new LoraError('engine', t('The training process cannot be started: {0}', failure.message), { place: { file: node }, cause: failure });
      return child.exitCode !== null || child.signalCode !== null;
    },
    exitCode: () => child.exitCode,
    wait: (ms) => {
      let timer: NodeJS.Timeout | undefined;
      return Promise.race([end, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]).finally(() => clearTimeout(timer));
    },
  };
}

async function openLog(runDir: string): Promise<number> {
  try {
    await mkdir(runDir, { recursive: true });
    return openSync(path.join(runDir, RUN_FILES.log), 'a');
  } catch (cause) {
    throw new LoraError('disk', t('The run cannot be written here: {0}', cause instanceof Error ? cause.message : String(cause)), {
      place: { file: runDir }, cause, fix: t('Make the folder writable, or move the recipe to a folder that is.'),
    });
  }
}

/** What the engine wrote before it died: the error in run.json, else the end of its log. */
async function failureOf(runDir: string, exitCode: number | null): Promise<LoraError> {
  const told = await recordedError(runDir);
  if (told) return LoraError.deserialize(told);
  const log = await readFile(path.join(runDir, RUN_FILES.log), 'utf8').catch(() => '');
  const end = log.trim().split('\n').slice(-5).join('\n');
  const message = end || t('The training process ended at once (exit code {0}) and said nothing.', String(exitCode));
  return new LoraError('engine', message, { place: { file: path.join(runDir, RUN_FILES.log) } });
}

async function recordedError(runDir: string): Promise<SerializedError | null> {
  try {
    const record = JSON.parse(await readFile(path.join(runDir, RUN_FILES.record), 'utf8')) as { error?: SerializedError | null };
    return record.error && typeof record.error.message === 'string' && typeof record.error.area === 'string' ? record.error : null;
  } catch {
    return null;
  }
}
