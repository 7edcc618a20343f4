import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createMessageConnection, StreamMessageWriter } from 'vscode-jsonrpc/node';
import type { Duplex } from 'node:stream';
import { isEngineAlive, isPipeOfUser, readEngineRecord } from '../../formats/run/engineRecord';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import { messageReader } from '../../common/messageReader';
import { LoraError } from '../../shared/errors';
import type { JobHandle, Target } from '../../targets/target';
import { cancelled } from '../../targets/targetError';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, required } from './options';
import { absolutePath } from './optionValues';
import { requireRemote } from '../remote/remoteFile';
import { readRecord } from '../run/runFolder';
import { entryOf, started, withTarget } from './remoteTraining';

/** How long an engine that runs may take to open its pipe, and between looks. */
const OPENS_MS = 20_000;
const ATTEMPT_MS = 300;

/** lora stop: asks the engine of a run to stop, here or on its target. */
export const stopCommand = defineCommand({
  name: 'stop',
  summary: 'Stops a run, which saves what it has trained.',
  forms: [
    form({
      positionals: { run: { valueName: 'RUN_DIR', help: 'folder of the run' } },
      options: { kill: flag('end a run on a target at once; it may have no time to save') },
      run: async ({ positionals, options }, context) =>
        stopRun(path.resolve(positionals.run), options.kill, context),
    }),
    form({
      selectedBy: 'remove',
      options: {
        remove: required(
          absolutePath,
          'RUN_DIR',
          'end a run on a target and remove its files there',
        ),
      },
      run: async ({ options: { remove } }, context) => removeThere(remove, context),
    }),
  ],
});

async function stopRun(dir: string, kill: boolean, context: CommandContext): Promise<number> {
  const [engine, remote] = [await readEngineRecord(dir), await readRemoteRecord(dir)];
  if (remote && (kill || !isEngineAlive(engine, Date.now()))) {
    const { signal } = context;
    await withTarget(await entryOf(remote), context, async (target) => {
      const found = await started(remote, target, signal);
      const handle = { job: found.job, values: found.handle! };
      if (kill) await target.stop(handle, signal);
      else await askThere({ target, handle, dir }, signal);
    });
  } else {
    if (!engine || !isEngineAlive(engine, Date.now())) throw notRunning(dir);
    if (!(await isPipeOfUser(engine.pipe))) throw notRunning(dir);
    await ask(connect(engine.pipe), dir);
  }
  printResult(context, { run_dir: dir }, () =>
    kill ? 'The run was ended.' : 'The run is stopping: it saves what it has trained.',
  );
  return 0;
}

/** What is here stays. */
async function removeThere(dir: string, context: CommandContext): Promise<number> {
  const remote = await requireRemote(dir);
  const entry = await entryOf(remote);
  const isRemoved = await withTarget(entry, context, async (target) => {
    const { signal } = context;
    const found = await started(remote, target, signal);
    const handle = { job: found.job, values: found.handle! };
    await (target.remove ? target.remove(handle, signal) : target.stop(handle, signal));
    return target.remove !== undefined;
  });
  printResult(context, { run_dir: dir, removed: isRemoved }, () =>
    isRemoved
      ? `The run was removed from ${entry.name}.`
      : `The run was ended. ${entry.name} keeps its files until the cluster removes them.`,
  );
  return 0;
}

/** A run on a target that no process follows. */
interface RunThere {
  readonly target: Target;
  readonly handle: JobHandle;
  readonly dir: string;
}

/** An engine that was just started opens its pipe a little later. @throws LoraError */
async function askThere({ target, handle, dir }: RunThere, signal: AbortSignal): Promise<void> {
  for (const end = performance.now() + OPENS_MS; ;) {
    const stream = await target.connect(handle, signal);
    if (stream !== null) return ask(stream, dir);
    const { kind } = await target.state(handle, signal);
    if (kind === 'queued') throw waiting(target.name, dir);
    if (kind !== 'running' || performance.now() > end) throw notRunning(dir);
    await wait(ATTEMPT_MS, undefined, { signal }).catch(() => {
      throw cancelled();
    });
  }
}

const waiting = (name: string, dir: string): LoraError =>
  new LoraError('engine', `The run has not begun: it waits on ${name}.`, {
    place: { file: dir },
    fix: 'End it with lora stop --kill.',
  });

/** Sends a stop over a connection to an engine. @throws LoraError('engine') */
async function ask(stream: Duplex, dir: string): Promise<void> {
  const connection = createMessageConnection(
    messageReader(stream),
    new StreamMessageWriter(stream),
  );
  const closed = new Promise<'closed'>((resolve) => {
    const close = () => resolve('closed');
    stream.once('error', close).once('close', close);
  });
  try {
    connection.listen();
    const answer = connection.sendRequest<unknown>('stop');
    if ((await Promise.race([answer, closed])) !== 'closed') return;
    // an engine that stops at once may close its pipe before its answer is read
    const { state } = await readRecord(dir);
    if (state !== 'stopped') throw notRunning(dir);
  } finally {
    connection.dispose();
    stream.destroy();
  }
}

const notRunning = (dir: string): LoraError =>
  new LoraError('engine', 'The run has no engine that answers.', {
    place: { file: dir },
    fix: 'It has ended, or it was killed: lora train --resume continues from its last checkpoint.',
  });
