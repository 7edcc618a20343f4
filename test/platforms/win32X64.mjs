import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { bundleFor } from './bundles.mjs';
import {
  check,
  checkExit,
  checkTests,
  compareLosses,
  dist,
  homeOf,
  trainHere,
  workspace,
} from './checks.mjs';
import { emulatorOf } from './emulators.mjs';
import { checkKernels } from './kernels.mjs';
import { serveFolder } from './mirror.mjs';

const platform = 'win32-x64';
/** Of x86: AVX-512 (where this processor has it), AVX2, neither. */
const LEVELS = ['2', '1', '0'];
/** Windows' own limit for paths of programs that are not made for longer ones. */
const MAX_PATH = 260;
const LONG_NAME = 'Ein sehr langer Ordnername für Überlängen '.repeat(3).trim();

/**
 * Under Wine, in a folder with spaces and umlauts: what the extension does, by its own code in
 * node.exe as the extension host, then the command line.
 */
export async function win32X64() {
  const emulator = await emulatorOf(platform);
  const folder = workspace('Müllers Änderungen');
  const log = path.join(folder, 'log');
  const bundle = await bundleFor(
    emulator,
    'test/platforms/emulated/extensionHost.ts',
    path.join(folder, 'bundles'),
  );
  const at = (...names) => emulator.pathOf(path.join(folder, ...names));
  mkdirSync(path.join(folder, 'Zwischenablage ß'));
  const shared = {
    dist: emulator.pathOf(dist),
    cli: emulator.pathOf(path.join(dist, 'cli.js')),
    home: at('Erweiterung', 'runtime'),
    recipe: at('lora.json'),
    folder: at(),
    temp: at('Zwischenablage ß'),
  };
  const context = { emulator, folder, log, at, shared, bundle };

  await installs(context);
  await kernels(context);
  const here = trainHere(folder);
  await trains(context, here);
  await survives(context, here);
  await commandLine(context);
  // on Windows these need a privilege, in Wine they do not
  const links = linksIn(folder);
  check(`${platform}: no symbolic link was made`, links.length === 0, links.join(', '));
  rmSync(path.dirname(folder), { recursive: true });
}

const linksIn = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isSymbolicLink())
    .map(({ name }) => name);

/** Runs a scenario in the extension host; its checks become those of this program. */
async function scenario({ emulator, log, shared, bundle }, name, options = {}) {
  const args = [emulator.pathOf(bundle), name, JSON.stringify({ ...shared, ...options })];
  const code = await emulator.run(args, {}, log);
  const lines = readFileSync(log, 'utf8').split(/\r?\n/);
  const checks = lines.filter((line) => line.startsWith('{"what"'));
  for (const { what, holds, detail } of checks.map((line) => JSON.parse(line)))
    check(`${platform}: ${what}`, holds, detail);
  checkExit(`${platform}: the extension's part "${name}" ends`, code, log);
}

/** From a mirror on this machine: Python is not needed, and there is none. */
async function installs(context) {
  const { folder, shared } = context;
  const wheels = path.join(await homeOf(platform), 'wheels');
  const mirror = await serveFolder(wheels);
  await scenario(context, 'install', { url: mirror.url });
  mirror.close();
  check(`${platform}: both wheels came from the mirror`, mirror.sent.length === 2);
  const left = path.join(folder, 'Erweiterung', 'runtime', 'downloads', mirror.sent[0]);
  check(`${platform}: the wheels are not kept`, !existsSync(left));
  await scenario(context, 'named', { home: shared.home });
}

async function kernels(context) {
  const { emulator, folder, log, shared } = context;
  await checkKernels(platform, emulator, folder);
  const env = { LORA_RUNTIME_HOME: shared.home, LORA_RUNTIME_PATH: '' };
  const run = async (test, level) => {
    const tests = await bundleFor(emulator, `test/parity/${test}.test.ts`, folder);
    const args = [emulator.pathOf(tests)];
    const code = await emulator.run(args, { ...env, LORA_KERNELS_LEVEL: level }, log);
    checkTests(`${platform}: ${test}.test.ts passes with level ${level}`, code, log);
  };
  for (const level of LEVELS) await run('fused', level);
  await run('logits-cached', LEVELS[0]);
  await environmentReaches(context);
}

/** Variables that are set after the start of the program reach libtensorflow's C library. */
async function environmentReaches({ emulator, folder, log, shared }) {
  const bundle = await bundleFor(emulator, 'test/platforms/emulated/environment.ts', folder);
  const said = async (oneDnn) => {
    const options = JSON.stringify({ dist: shared.dist, home: shared.home, oneDnn });
    const code = await emulator.run([emulator.pathOf(bundle), options], {}, log);
    return checkExit(`${platform}: libtensorflow is loaded`, code, log);
  };
  const [on, off] = [await said('1'), await said('0')];
  const speaks = (text) => text.includes('oneDNN custom operations are on');
  const holds = speaks(on) && !speaks(off);
  check(`${platform}: variables set late reach libtensorflow`, holds, holds ? '' : `${on}\n${off}`);
}

async function trains(context, here) {
  const { folder, at } = context;
  await scenario(context, 'train', { runDir: at('there') });
  compareLosses(platform, here, path.join(folder, 'there'));
  const long = path.join('Läufe', LONG_NAME, LONG_NAME, 'run');
  check(`${platform}: a path is too long`, at(long).length > MAX_PATH, String(at(long).length));
  await scenario(context, 'train', { runDir: at(long) });
  compareLosses(`${platform}, long path`, here, path.join(folder, long));
}

async function survives(context, here) {
  const { folder, at } = context;
  await scenario(context, 'stopAndResume', { runDir: at('stopped') });
  compareLosses(`${platform}, stopped and resumed`, here, path.join(folder, 'stopped'));
  await scenario(context, 'kill', { runDir: at('killed') });
  compareLosses(`${platform}, killed and resumed`, here, path.join(folder, 'killed'));
  await scenario(context, 'replaceBinding', { runDir: at('updated') });
  compareLosses(`${platform}, with a newer binding`, here, path.join(folder, 'updated'));
  await scenario(context, 'files');
  await scenario(context, 'terminal');
}

async function commandLine({ emulator, log, at, shared }) {
  const env = { LORA_RUNTIME_HOME: shared.home, LORA_RUNTIME_PATH: '' };
  const lora = async (what, ...args) =>
    checkExit(`${platform}: ${what}`, await emulator.run([shared.cli, ...args], env, log), log);
  const shown = await lora('shows the runtime', 'runtime');
  check(`${platform}: it is libtensorflow`, /libtensorflow 2\.18\.1 on CPU/.test(shown), shown);
  const merge = ['merge', '--base', at('base'), '--adapter', at('there', 'adapter')];
  await lora('merges', ...merge, '--output', at('merged'));
  await lora('verifies what it merged', 'merge', '--verify', at('merged'));
  const adapters = [at('there', 'adapter'), at('here', 'adapter')];
  const compared = await lora('compares', 'compare', ...adapters);
  check(`${platform}: the adapters are compared`, compared.length > 0);
}
