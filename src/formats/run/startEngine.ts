import { lstat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import { writeErrorReason } from '../../common/fileStatus';
import { startProcess } from '../../common/startProcess';
import { areRunsPrivate, FILE_MODE, makePrivateFolder } from '../../common/privateFiles';
import { makeFolder } from '../../common/makeFolder';
import { MAX_BYTES, readTail, readTextFile } from '../../common/regularFile';
import { openForAppending } from '../../common/withoutLinks';
import { readEngineRecord } from './engineRecord';
import { keepRunsOutOfGit } from './gitIgnore';

/** How to start an engine. */
export interface EngineCommand {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly args: readonly string[];
  readonly runDir: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How the failures of a start are reported. */
export interface StartTexts {
  readonly notStarted: (reason: string) => string;
  readonly notStored: (folder: string, reason: string) => string;
  readonly makeWritable: () => string;
  readonly endedAtOnce: (exitCode: string) => string;
}

const ENGLISH: StartTexts = {
  notStarted: (reason) => `The training process cannot be started: ${reason}`,
  notStored: (folder, reason) => `Runs cannot be stored in ${folder}: ${reason}.`,
  makeWritable: () => 'Make the folder writable, or move the recipe to a writable folder.',
  endedAtOnce: (exitCode) =>
    `The training process ended immediately (exit code ${exitCode}) without any output.`,
};

const POLL_MS = 100;
/** The exit code of an engine that was told to stop. */
const STOPPED = 130;

/**
 * Starts the engine as a detached process that writes its output to the run's log, and waits until
 * the engine can be reached or has ended. A failure that the engine recorded in run.json is not
 * thrown.
 *
 * @throws LoraError('engine') when the process cannot be started or ended without recording why;
 *   LoraError('disk') when the run's folder cannot be written.
 */
export async function startEngine(command: EngineCommand, texts = ENGLISH): Promise<void> {
  const earlier = await readEngineRecord(command.runDir);
  const before = await writtenSoFar(command.runDir);
  const engine = await launch(command, texts);
  while (!engine.ended()) {
    const record = await readEngineRecord(command.runDir);
    if (record && record.pid !== earlier?.pid) return;
    await engine.wait(POLL_MS);
  }
  const exitCode = engine.exitCode();
  if (exitCode === 0 || exitCode === STOPPED) return;
  const output = await outputOfFailure(command.runDir, before);
  if (output === null) return;
  throw new LoraError('engine', output || texts.endedAtOnce(String(exitCode)));
}

interface Launched {
  readonly ended: () => boolean;
  readonly exitCode: () => number | null;
  /** Waits until the process ends, but no longer than this many milliseconds. */
  readonly wait: (ms: number) => Promise<void>;
}

async function launch(command: EngineCommand, texts: StartTexts): Promise<Launched> {
  const { node, cli, args, env } = command;
  const log = await openLog(command, texts);
  const child = startProcess(node, [cli, ...args], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
  });
  await log.close();
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
      if (failure)
        throw new LoraError('engine', texts.notStarted(failure.message), {
          place: { file: node },
          cause: failure,
        });
      return child.exitCode !== null || child.signalCode !== null;
    },
    exitCode: () => child.exitCode,
    wait: (ms) => {
      let timer: NodeJS.Timeout | undefined;
      return Promise.race([
        end,
        new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))),
      ]).finally(() => clearTimeout(timer));
    },
  };
}

async function openLog({ runDir, env }: EngineCommand, texts: StartTexts): Promise<FileHandle> {
  try {
    const isPrivate = areRunsPrivate(env);
    await (isPrivate ? makePrivateFolder(runDir) : makeFolder(runDir));
    await keepRunsOutOfGit(runDir);
    return await openForAppending(
      path.join(runDir, RUN_FILES.log),
      runDir,
      isPrivate ? FILE_MODE : 0o666,
    );
  } catch (cause) {
    const message = texts.notStored(path.dirname(runDir), writeErrorReason(cause));
    throw new LoraError('disk', message, { cause, fix: texts.makeWritable() });
  }
}

interface Written {
  readonly record: string;
  /** Of the log. */
  readonly bytes: number;
}

/** Of the log's end, which is shown. */
const SHOWN_BYTES = 2 ** 16;

async function writtenSoFar(runDir: string): Promise<Written> {
  const limits = { maxBytes: MAX_BYTES.runRecord, links: 'refused' } as const;
  const [record, bytes] = await Promise.all([
    readTextFile(path.join(runDir, RUN_FILES.record), limits).catch(() => ''),
    lstat(path.join(runDir, RUN_FILES.log)).then(
      ({ size }) => size,
      () => 0,
    ),
  ]);
  return { record, bytes };
}

/** The end of the engine's output since it was started; null when run.json records its error. */
async function outputOfFailure(runDir: string, before: Written): Promise<string | null> {
  const { record } = await writtenSoFar(runDir);
  if (record !== before.record && holdsError(record)) return null;
  const log = await readTail(
    path.join(runDir, RUN_FILES.log),
    { maxBytes: SHOWN_BYTES, links: 'refused' },
    before.bytes,
  ).catch(() => null);
  return log?.text.trim().split('\n').slice(-5).join('\n') ?? '';
}

function holdsError(text: string): boolean {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return error !== null && error !== undefined;
  } catch {
    return false;
  }
}
