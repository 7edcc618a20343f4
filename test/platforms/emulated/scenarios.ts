import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { appendFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { replaceFile, replaceFolder } from '../../../src/common/atomicWrite';
import { findProgram } from '../../../src/common/programs';
import { outputOf } from '../../../src/common/startProcess';
import { isProcessAlive } from '../../../src/common/system';
import { readEngineRecord } from '../../../src/formats/run/engineRecord';
import { connectEngine, type EngineClient } from '../../../src/host/engine/engineClient';
import { startEngine } from '../../../src/host/engine/startEngine';
import { batchScript } from '../../../src/host/terminal/loraCommand';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { ENDED_STATES, RUN_FILES, type RunState } from '../../../src/shared/run';

type Options = Readonly<Record<string, string>>;
type Scenario = (options: Options) => Promise<void>;

function check(what: string, holds: boolean, detail = ''): void {
  process.stdout.write(`${JSON.stringify({ what, holds, detail: holds ? '' : detail })}\n`);
}

const signal = new AbortController().signal;
/** How often a folder is looked at. */
const LOOK_MS = 50;

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await wait(LOOK_MS);
}

const stateOf = (runDir: string): RunState | null => {
  try {
    const { state } = JSON.parse(readFileSync(path.join(runDir, RUN_FILES.record), 'utf8')) as {
      state: RunState;
    };
    return state;
  } catch {
    return null; // not written yet
  }
};

const lines = (runDir: string, kind: string): number => {
  try {
    const text = readFileSync(path.join(runDir, RUN_FILES.metrics), 'utf8');
    return text.split('\n').filter((line) => line.includes(`"kind":"${kind}"`)).length;
  } catch {
    return 0;
  }
};

/** Starts an engine as the extension does. Gives its process id. */
async function start(args: readonly string[], { cli, home, runDir, temp }: Options) {
  await startEngine({
    node: process.execPath,
    cli: cli!,
    args,
    runDir: runDir!,
    env: { LORA_RUNTIME_HOME: home, ...(temp && { TEMP: temp, TMP: temp }) },
  });
  return (await readEngineRecord(runDir!))?.pid ?? null;
}

async function untilEnded(runDir: string, pid: number | null): Promise<RunState | null> {
  await until(() => ENDED_STATES.has(stateOf(runDir) ?? 'running'));
  await until(() => pid === null || !isProcessAlive(pid));
  return stateOf(runDir);
}

async function pause(client: EngineClient, runDir: string): Promise<void> {
  await client.request('pause', undefined);
  await until(() => stateOf(runDir) === 'paused');
}

/** Installs from a mirror, which needs no Python, as the command Install Runtime does. */
async function install({ dist, home, url }: Options): Promise<void> {
  const shown: string[] = [];
  const runtime = await installRuntime(
    { dist: dist!, home: home!, url: url! },
    { signal, log: () => undefined, onProgress: ({ message }) => shown.push(message) },
  );
  check(
    'the runtime is installed from the mirror, and multiplies',
    runtime.kind === 'tensorflow' && runtime.source === 'mirror' && runtime.device === 'cpu',
    JSON.stringify(runtime),
  );
  check('what is done is shown', shown.includes('Checking libtensorflow'), shown.join());
  const found = await findRuntime({ dist: dist!, home: home! });
  check('the runtime is found again', found?.kind === 'tensorflow');
}

/** Trains to the end, by what the button Train Adapter starts. */
async function train(options: Options): Promise<void> {
  const { recipe, runDir } = options;
  const pid = await start(['train', recipe!, '--run-dir', runDir!], options);
  const state = await untilEnded(runDir!, pid);
  check('a training started as by the extension is completed', state === 'completed', `${state}`);
  const log = readFileSync(path.join(runDir!, RUN_FILES.log), 'utf8');
  check('libtensorflow prints nothing of its own', !/oneDNN|cpu_feature_guard/.test(log), log);
}

/** Pauses, continues, pauses, stops and resumes a training run through its named pipe. */
async function stopAndResume(options: Options): Promise<void> {
  const { recipe, runDir } = options;
  const pid = await start(['train', recipe!, '--run-dir', runDir!], options);
  const client = await connectEngine(runDir!);
  await pause(client, runDir!);
  const paused = await client.request('status', undefined);
  check('it pauses', paused.state === 'paused', paused.state);
  await client.request('resume', undefined);
  const running = await client.request('status', undefined);
  check('it goes on', running.state !== 'paused', running.state);
  await client.request('stop', undefined);
  client.dispose();
  const state = await untilEnded(runDir!, pid);
  const steps = lines(runDir!, 'step');
  check('it stops before its end', state === 'stopped', `${state} after ${steps} steps`);
  const next = await start(['train', '--resume', runDir!], options);
  const end = await untilEnded(runDir!, next);
  check('it resumes, to its end', end === 'completed', `${end}`);
}

/** Kills a training run as the Task Manager does, and resumes it. Wine's taskkill knows no /T. */
async function kill(options: Options): Promise<void> {
  const { recipe, runDir } = options;
  const pid = await start(['train', recipe!, '--run-dir', runDir!], options);
  const client = await connectEngine(runDir!);
  await new Promise<void>((resolve) => {
    client.on('metric', ({ kind }) => {
      if (kind === 'checkpoint') resolve();
    });
  });
  await pause(client, runDir!);
  client.dispose();
  await endTask(pid!);
  check('a killed training is no longer running', !isProcessAlive(pid!));
  const next = await start(['train', '--resume', runDir!], options);
  const end = await untilEnded(runDir!, next);
  check('it resumes from its checkpoint, to its end', end === 'completed', `${end}`);
}

async function endTask(pid: number): Promise<void> {
  const taskkill = findProgram('taskkill', process.env);
  if (taskkill === null) throw new Error('There is no taskkill.');
  const { exitCode } = await outputOf(taskkill, ['/PID', String(pid), '/F'], {
    env: process.env,
  });
  if (exitCode !== 0) throw new Error(`taskkill ended with ${exitCode}.`);
  await until(() => !isProcessAlive(pid));
}

/** A new build's binding beside one that a paused training has loaded. */
async function replaceBinding(options: Options): Promise<void> {
  const { dist, home, recipe, runDir, folder } = options;
  const binding = path.join(dist!, 'binding', 'win32-x64');
  const newer = path.join(folder!, 'newer');
  await cp(binding, path.join(newer, 'binding', 'win32-x64'), { recursive: true });
  await cp(path.join(dist!, 'probe.js'), path.join(newer, 'probe.js'));
  await cp(path.join(dist!, 'tfjs-node.js'), path.join(newer, 'tfjs-node.js'));
  await appendFile(path.join(newer, 'binding', 'win32-x64', 'tfjs_binding.node'), 'newer');
  const pid = await start(['train', recipe!, '--run-dir', runDir!], options);
  const client = await connectEngine(runDir!);
  await pause(client, runDir!);
  const before = await findRuntime({ dist: dist!, home: home! });
  const after = await findRuntime({ dist: newer, home: home! });
  const [old, own] = [before, after].map((r) => (r?.kind === 'tensorflow' ? r.binding : ''));
  check('a newer binding is put beside one in use', old !== own && existsSync(own!), own);
  await client.request('resume', undefined);
  client.dispose();
  const end = await untilEnded(runDir!, pid);
  check('the training with the older one goes on', end === 'completed', `${end}`);
}

/** libuv's flag for a file that nobody else may open, rename or remove meanwhile. */
const EXCLUSIVE = 0x10000000;
const HELD_MS = 200;

/** Files that a virus scanner holds open. */
async function files({ folder }: Options): Promise<void> {
  const file = path.join(folder!, 'gehalten ä.txt');
  await writeFile(file, 'old');
  const hold = () => openSync(file, constants.O_RDONLY | EXCLUSIVE);
  const held = hold();
  setTimeout(() => closeSync(held), HELD_MS);
  await replaceFile(file, 'new');
  check('a file that is held for a moment is replaced', (await readFile(file, 'utf8')) === 'new');
  const kept = hold();
  const message = await replaceFile(file, 'newer').then(
    () => 'replaced',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  closeSync(kept);
  check('one that is held longer is not', message !== 'replaced', message);
  check('and keeps its content', (await readFile(file, 'utf8')) === 'new');
  const names = readdirSync(folder!).filter((name) => name.endsWith('.tmp'));
  check('no temporary file is left', names.length === 0, names.join());
  await folders(folder!);
}

/** A folder in which a file is held. */
async function folders(folder: string): Promise<void> {
  const target = path.join(folder, 'Ordner');
  const inner = path.join(target, 'a.txt');
  await mkdir(target);
  await writeFile(inner, 'old');
  const held = openSync(inner, constants.O_RDONLY | EXCLUSIVE);
  setTimeout(() => closeSync(held), HELD_MS);
  await replaceFolder(target, (temp) => writeFile(path.join(temp, 'a.txt'), 'new'));
  const names = readdirSync(folder).filter((name) => name.startsWith('Ordner'));
  check('a folder with a file that is held for a moment is replaced', names.length === 1);
  check('by the new one', (await readFile(inner, 'utf8')) === 'new');
}

/** Libraries in a folder that the setting lora.runtime.path names. */
async function named({ dist, home, folder }: Options): Promise<void> {
  const installed = await findRuntime({ dist: dist!, home: home! });
  if (installed?.kind !== 'tensorflow') throw new Error('No runtime is installed.');
  const own = path.join(folder!, 'eigenes Zuhause');
  const found = await findRuntime({ dist: dist!, home: own, path: installed.folder });
  check(
    'libraries in a named folder are used without symbolic links',
    found?.kind === 'tensorflow' && found.source === 'setting',
    JSON.stringify(found),
  );
  await rm(own, { recursive: true });
}

/** The command of the editor's terminals, for cmd: 1 would mean that it finds no runtime. */
async function terminal({ cli, home, folder }: Options): Promise<void> {
  const bin = path.join(folder!, 'bin');
  const variables = {
    LORA_RUNTIME_PATH: null,
    LORA_RUNTIME_URL: null,
    LORA_RUNTIME_COMPANION: null,
  };
  await mkdir(bin);
  const place = { node: process.execPath, cli: cli!, home: home!, variables };
  await writeFile(path.join(bin, 'lora.cmd'), batchScript(place, bin));
  const { exitCode } = await outputOf(
    process.env['ComSpec']!,
    ['/d', '/c', 'lora.cmd', 'runtime'],
    {
      env: process.env,
      cwd: bin,
    },
  );
  check('the command lora of the terminal finds the runtime', exitCode === 0, String(exitCode));
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  install,
  train,
  stopAndResume,
  kill,
  replaceBinding,
  files,
  named,
  terminal,
};
