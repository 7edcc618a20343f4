// Builds a program of this folder and runs it, each time in a new process.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
export const cache = path.join(homedir(), '.cache', 'lora-workbench');
const out = path.join(root, 'out', 'bench');

async function bundled(file) {
  const outfile = path.join(out, `${path.basename(file, '.ts')}.cjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [file],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    logLevel: 'warning',
  });
  return outfile;
}

/** Runs a process, and parses the last line of its output. `onStderr` gets its standard error. */
export function measure(command, args, { env = {}, onStderr } = {}) {
  const { status, stdout, stderr } = spawnSync(command, args.map(String), {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stderr}`);
  onStderr?.(stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

/** Returns a function that trains with the given arguments. */
export const ourTraining = () => ourProgram('test/bench/train.ts');

/** Returns a function that runs a program of this folder with the given arguments. */
export async function ourProgram(file) {
  const {
    default: { findRuntime },
  } = await import(await bundled('src/runtime/findRuntime.ts'));
  const runtime = await findRuntime({
    dist: path.join(root, 'dist'),
    home: process.env.LORA_RUNTIME_HOME ?? path.join(cache, 'runtime'),
  });
  const { default: loading } = await import(await bundled('src/runtime/loadTfjs.ts'));
  loading.setTensorflowEnvironment(); // as every command of the engine does; measure passes it on
  const script = await bundled(file);
  const env = { LORA_TFJS_BINDING: runtime.binding };
  return (args, onStderr, more = {}) =>
    measure(
      process.execPath,
      [script, '--tfjs', path.join(root, 'dist', 'tfjs-node.js'), ...args],
      { env: { ...env, ...more }, onStderr },
    );
}

export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
