// npm run test:platforms [-- PLATFORM…]: the bindings of other platforms, on Linux x64.
//   linux-arm64   under qemu: installation, 17 steps of the tiny llama as on this machine
//   win32-x64     under Wine: the same by the command line, stop and resume, merge, compare, in a
//                 folder with spaces and umlauts
//   darwin-arm64  not run: symbols, versions and signature of the binding against the libraries
// Needs Wine, qemu (it says what to install) and 900 MB of wheels, kept in the user's cache.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { symbols as nodeSymbols } from 'node-api-headers';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { tsImport } from 'tsx/esm/api';
import { run as runHere } from '../../scripts/dependencies.mjs';
import { cache, emulatorOf } from './emulators.mjs';
import { readMachO } from './machO.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const dist = path.join(root, 'dist');
const { PLATFORM_PINS } = await tsImport('../../src/runtime/pins.ts', import.meta.url);
const { installFrom } = await tsImport('../../src/runtime/installRuntime.ts', import.meta.url);
const { sourcesFor } = await tsImport('../../src/runtime/sources.ts', import.meta.url);
const { downloadWheel, keptWheel } = await tsImport('../../src/runtime/wheel.ts', import.meta.url);
const { processorName } = await tsImport('../../src/runtime/processor.ts', import.meta.url);

const options = {
  signal: new AbortController().signal,
  onProgress: ({ message }) => console.log(`  ${message}`),
  log: (line) => console.log(`  ${line}`),
};
const MOST_DIFFERENCE = 1e-6;
const STEPS = 17;

let failures = 0;
function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}${detail && `: ${detail}`}`);
  if (!holds) failures++;
}

/** The runtime's home of a platform, with its wheels. */
async function homeOf(platform) {
  const home = path.join(cache, platform, 'runtime');
  const wheels = path.join(home, 'wheels');
  mkdirSync(wheels, { recursive: true });
  for (const pin of PLATFORM_PINS[platform].wheels) {
    if (await keptWheel(home, pin, options)) continue;
    const temp = mkdtempSync(path.join(home, '.download-'));
    const wheel = await downloadWheel(pin, temp, process.env, options);
    cpSync(wheel, path.join(wheels, path.basename(wheel)));
    rmSync(temp, { recursive: true });
  }
  return home;
}

/** Fills the home by the extension's own code, with the probe that is given. */
async function install(platform, home, probe) {
  const pin = PLATFORM_PINS[platform];
  const source = sourcesFor(pin, { home }, process.env).find(({ name }) => name === 'wheel');
  const machine = { platform, pin, env: process.env, probe };
  return installFrom({ source, pin, runtime: { dist, home }, options, machine });
}

/** A folder with the tiny llama and a recipe for it. */
function workspace(name) {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-platforms-')), name);
  mkdirSync(folder);
  cpSync(path.join(root, 'test/fixtures/llama/base'), path.join(folder, 'base'), {
    recursive: true,
  });
  const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'];
  const rows = words.map((word) => ({
    messages: [
      { role: 'user', content: `say ${word}` },
      { role: 'assistant', content: word },
    ],
  }));
  // as an editor of Windows writes it
  writeFileSync(
    path.join(folder, 'data.jsonl'),
    rows.map((row) => `${JSON.stringify(row)}\r\n`).join(''),
  );
  const recipe = {
    base: 'base',
    dataset: 'data.jsonl',
    validation_split: 0,
    samples: { sample_steps: 0 },
    lora: { r: 4 },
    training: { base_dtype: 'float32', max_steps: STEPS, max_length: 48, save_steps: 5 },
  };
  writeFileSync(path.join(folder, 'lora.json'), JSON.stringify(recipe));
  return folder;
}

const linesOf = (runFolder) =>
  readFileSync(path.join(runFolder, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line));

/** The losses by step; those of a resumed run replace earlier ones. */
const lossesOf = (runFolder) =>
  Object.values(
    Object.fromEntries(
      linesOf(runFolder)
        .filter(({ kind }) => kind === 'step')
        .map(({ step, loss }) => [step, loss]),
    ),
  );

function compareLosses(what, here, there) {
  const [a, b] = [lossesOf(here), lossesOf(there)];
  const difference = Math.max(...a.map((loss, i) => Math.abs(loss - b[i])));
  const isSame = a.length === STEPS && b.length === STEPS && difference <= MOST_DIFFERENCE;
  check(`${what}: ${STEPS} losses as on this machine`, isSame, `difference ${difference}`);
}

/** Trains here, for the comparison. */
function trainHere(folder) {
  const runFolder = path.join(folder, 'here');
  const args = ['dist/cli.js', 'train', path.join(folder, 'lora.json'), '--run-dir', runFolder];
  check('training on this machine', runHere(process.execPath, args).ok);
  return runFolder;
}

/** Prints the end of a log when the exit code is not as expected. */
function checkExit(what, code, log, expected = 0) {
  const output = readFileSync(log, 'utf8');
  check(what, code === expected, code === expected ? '' : `exit ${code}\n${output.slice(-2000)}`);
  return output;
}

async function linuxArm64() {
  const platform = 'linux-arm64';
  const emulator = await emulatorOf(platform);
  const folder = workspace('arm');
  const log = path.join(folder, 'log');
  const home = await homeOf(platform);
  const probe = async (binding) => {
    const env = { LORA_TFJS_BINDING: binding, TF_CPP_MIN_LOG_LEVEL: '2' };
    const code = await emulator.run([path.join(dist, 'probe.js')], env, log);
    const output = checkExit(`${platform}: the binding loads and multiplies`, code, log);
    return JSON.parse(output.trim().split('\n').at(-1));
  };
  await install(platform, home, probe);
  // inside the emulator no other process can be started, also not the probe
  nameProcessor(path.join(home, `tensorflow-2.18.1-${platform}`, 'runtime.json'));
  const there = path.join(folder, 'there');
  const args = [path.join(dist, 'cli.js'), 'train', path.join(folder, 'lora.json')];
  const code = await emulator.run(
    [...args, '--run-dir', there],
    { LORA_RUNTIME_HOME: home, LORA_RUNTIME_PATH: '' },
    log,
  );
  checkExit(`${platform}: a training, whose worker ends`, code, log);
  compareLosses(platform, trainHere(folder), there);
  rmSync(path.dirname(folder), { recursive: true });
}

/** An emulated processor has the name of this machine's, or that of its architecture. */
function nameProcessor(file) {
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  const bf16 = { [processorName()]: false, arm64: false, unknown: false };
  writeFileSync(file, JSON.stringify({ ...manifest, bf16 }));
}

async function win32X64() {
  const platform = 'win32-x64';
  const emulator = await emulatorOf(platform);
  const { pathOf } = emulator;
  const folder = workspace('Müllers Änderungen');
  const log = path.join(folder, 'log');
  const home = await homeOf(platform);
  rmSync(path.join(home, `tensorflow-2.18.1-${platform}`), { recursive: true, force: true });
  const env = { LORA_RUNTIME_HOME: pathOf(home), LORA_RUNTIME_PATH: '' };
  const cli = pathOf(path.join(dist, 'cli.js'));
  const at = (name) => pathOf(path.join(folder, name));
  const lora = async (what, ...args) =>
    checkExit(`${platform}: ${what}`, await emulator.run([cli, ...args], env, log), log);

  const shown = await lora('installs the runtime from its wheels', 'runtime', '--install');
  check(`${platform}: the runtime is libtensorflow`, /libtensorflow 2\.18\.1 on CPU/.test(shown));
  await lora('trains', 'train', at('lora.json'), '--run-dir', at('there'));
  const here = trainHere(folder);
  compareLosses(platform, here, path.join(folder, 'there'));

  await interruptAfterCheckpoint(
    emulator,
    [cli, 'train', at('lora.json'), '--run-dir', at('cut')],
    {
      env,
      log,
      runFolder: path.join(folder, 'cut'),
    },
  );
  await lora('resumes', 'train', '--resume', at('cut'));
  compareLosses(`${platform}, resumed`, here, path.join(folder, 'cut'));
  const merge = ['merge', '--base', at('base'), '--adapter', at('there\\adapter')];
  await lora('merges', ...merge, '--output', at('merged'));
  await lora('verifies what it merged', 'merge', '--verify', at('merged'));
  const compared = await lora('compares', 'compare', at('there\\adapter'), at('here\\adapter'));
  check(`${platform}: the adapters are compared`, compared.length > 0);
  rmSync(path.dirname(folder), { recursive: true });
}

/** Kills a training once it has a checkpoint. */
async function interruptAfterCheckpoint(emulator, args, { env, log, runFolder }) {
  const { child, end } = emulator.start(args, env, log);
  let isOver = false;
  void end.then(() => (isOver = true));
  const hasCheckpoint = () => {
    try {
      return linesOf(runFolder).some(({ kind }) => kind === 'checkpoint');
    } catch {
      return false;
    }
  };
  while (!isOver && !hasCheckpoint()) await setTimeout(20);
  child.kill('SIGKILL');
  await end;
}

async function darwinArm64() {
  const platform = 'darwin-arm64';
  const home = await homeOf(platform);
  const folder = path.join(home, `tensorflow-2.18.1-${platform}`);
  await install(platform, home, () =>
    Promise.resolve({ tensorflow_version: '2.18.1', device: 'cpu', multiplies_bf16: false }),
  );
  const binding = readMachO(path.join(dist, 'binding', platform, 'tfjs_binding.node'));
  const libraries = Object.values(PLATFORM_PINS[platform].libraries).map((name) =>
    readMachO(path.join(folder, name)),
  );
  const inLibraries = (symbol, library) =>
    libraries.some(({ own, exported }) => own.name === library && exported.has(symbol));
  const nodeApi = new Set(
    Object.values(nodeSymbols).flatMap((version) =>
      [...version.js_native_api_symbols, ...version.node_api_symbols].map((name) => `_${name}`),
    ),
  );
  const isSystem = (library) => library.startsWith('/usr/lib/');
  const missing = binding.undefinedSymbols.filter(({ name, library }) => {
    if (library === null) return !nodeApi.has(name);
    return !isSystem(library) && !inLibraries(name, library);
  });
  check(
    `${platform}: every symbol is in the library that it is bound to, or in Node`,
    missing.length === 0,
    missing.map(({ name, library }) => `${name} (${library})`).join(', '),
  );
  const used = binding.undefinedSymbols.filter(({ library }) => library?.includes('tensorflow'));
  check(`${platform}: symbols of TensorFlow are bound`, used.length > 60, String(used.length));
  const refused = binding.libraries.filter(({ name, compatibility }) => {
    const present = libraries.find(({ own }) => own.name === name);
    return present ? compatibility > present.own.compatibility : !isSystem(name);
  });
  check(
    `${platform}: the versions of the libraries are accepted`,
    refused.length === 0,
    refused.map(({ name }) => name).join(', '),
  );
  check(`${platform}: the binding is signed`, binding.isSigned);
}

const CHECKS = { 'linux-arm64': linuxArm64, 'win32-x64': win32X64, 'darwin-arm64': darwinArm64 };

const chosen = process.argv.slice(2);
if (!runHere(process.execPath, ['scripts/build.mjs', '--all-bindings']).ok) process.exit(1);
for (const platform of chosen.length > 0 ? chosen : Object.keys(CHECKS)) {
  try {
    await CHECKS[platform]();
  } catch (error) {
    check(platform, false, error.describe?.() ?? error.message);
  }
}
console.log(failures === 0 ? 'all passed' : `${failures} failed`);
process.exit(failures === 0 ? 0 : 1);
