import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { exec } from '../../src/runtime/exec';
import { defaultRuntimeHome, findRuntime } from '../../src/runtime/findRuntime';
import { installFrom, installRuntime } from '../../src/runtime/installRuntime';
import { setTensorflowEnvironment } from '../../src/runtime/loadTfjs';
import { BINDING_FILE, TENSORFLOW_VERSION } from '../../src/runtime/pins';
import { probe } from '../../src/runtime/probe';
import { sourcesFor } from '../../src/runtime/sources';
import type { InstallOptions } from '../../src/runtime/runtime';
import { thisMachine } from '../../src/runtime/targetMachine';
import { dist, testTfjs } from '../support/tfjs';

const machine = thisMachine();
const pin = machine.pin!;
const names = Object.values(pin.libraries);
const quiet: InstallOptions = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  log: () => undefined,
};

function temporary(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-runtime-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function installed(): Promise<string> {
  const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
  if (runtime?.kind !== 'tensorflow')
    throw new Error('No runtime is installed: run npm run build.');
  return runtime.folder;
}

/** Lets pip use the wheel that a build has kept; without one pip downloads it. */
function pipEnv(): Record<string, string> {
  const wheels = path.join(defaultRuntimeHome(), 'wheels');
  return readdirSync(path.dirname(wheels)).includes('wheels')
    ? { PIP_FIND_LINKS: wheels, PIP_NO_INDEX: '1' }
    : {};
}

describe('the runtime', () => {
  it('multiplies matrices over libtensorflow', async () => {
    const tf = await testTfjs();
    expect([...tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync()]).toEqual([11]);
    expect(tf.getBackend()).toBe('tensorflow');
  });

  it('loads in a worker thread, as in the engine, and prints nothing', async () => {
    const worker = `const { parentPort } = require('node:worker_threads');
      const tf = require(${JSON.stringify(path.join(dist, 'tfjs-node.js'))});
      parentPort.postMessage(tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);`;
    const main = `new (require('node:worker_threads').Worker)(${JSON.stringify(worker)}, { eval: true }).once('message', console.log);`;
    setTensorflowEnvironment();
    const env = { ...process.env, LORA_TFJS_BINDING: path.join(await installed(), BINDING_FILE) };
    expect(await exec(process.execPath, ['-e', main], { env })).toEqual({
      exit: 0,
      stdout: '11\n',
      stderr: '',
    });
  });

  it('can be installed from the pinned wheel by pip', async () => {
    const home = temporary();
    const env = { ...process.env, ...pipEnv() };
    const source = sourcesFor(pin, { home }, env).find(({ name }) => name === 'wheel')!;
    const options = quiet;
    const runtime = await installFrom({ source, pin, runtime: { dist, home }, options, machine });
    expect(runtime).toMatchObject({
      kind: 'tensorflow',
      source: 'wheel',
      tensorflow_version: TENSORFLOW_VERSION,
    });
    expect(readdirSync(home)).toEqual([`tensorflow-${TENSORFLOW_VERSION}-${machine.platform}`]);
    const folder = path.join(home, readdirSync(home)[0]!);
    expect(readdirSync(folder).sort()).toEqual([...names, BINDING_FILE, 'runtime.json'].sort());
    expect(await findRuntime({ dist, home })).toEqual(runtime);
    truncateSync(path.join(folder, names[0]!), 1000);
    expect(await findRuntime({ dist, home })).toBeNull();
  });

  it('can be installed from the TensorFlow of a local Python', async () => {
    const home = temporary();
    const bin = temporary();
    writeFileSync(
      path.join(bin, 'python3'),
      `#!${process.execPath}\nconsole.log(${JSON.stringify(await installed())});\n`,
      { mode: 0o755 },
    );
    const runtime = await installRuntime({ dist, home }, quiet, {
      ...machine,
      env: { ...process.env, PATH: bin },
    });
    expect(runtime).toMatchObject({ source: 'python', tensorflow_version: TENSORFLOW_VERSION });
  });

  it('can be a release of libtensorflow for C that the setting names', async () => {
    const folder = await installed();
    const named = temporary();
    mkdirSync(path.join(named, 'lib'));
    for (const name of names)
      symlinkSync(path.join(folder, name), path.join(named, 'lib', name.replace('_cc', '')));
    expect(await findRuntime({ dist, home: temporary(), path: named })).toMatchObject({
      source: 'setting',
      tensorflow_version: TENSORFLOW_VERSION,
    });
  });

  it.each([
    ['truncated', (file: string) => truncateSync(file, 1_000_000), /does not work: \S.{1,200}$/s],
    [
      'another file',
      (file: string) => writeFileSync(file, '<html>'),
      /does not work: .{1,200}(invalid ELF header|file too short|libtensorflow_framework).{0,200}$/s,
    ],
  ] as const)(
    'is refused without harm to this process if a library is %s',
    async (_, spoil, message) => {
      const source = await installed();
      const folder = temporary();
      for (const name of [BINDING_FILE, ...names])
        copyFileSync(path.join(source, name), path.join(folder, name));
      spoil(path.join(folder, names[1]!));
      await expect(probe(path.join(folder, BINDING_FILE), dist)).rejects.toThrow(message);
    },
  );
});
