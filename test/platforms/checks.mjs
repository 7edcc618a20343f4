// What the checks of all platforms share.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { run as runHere } from '../../scripts/dependencies.mjs';
import { cache } from './emulators.mjs';

export const root = path.resolve(import.meta.dirname, '../..');
export const dist = path.join(root, 'dist');
export const { PLATFORM_PINS } = await tsImport('../../src/runtime/pins.ts', import.meta.url);
const { installFrom } = await tsImport('../../src/runtime/installRuntime.ts', import.meta.url);
const { sourcesFor } = await tsImport('../../src/runtime/sources.ts', import.meta.url);
const { downloadWheel, keptWheel } = await tsImport('../../src/runtime/wheel.ts', import.meta.url);

const options = {
  signal: new AbortController().signal,
  onProgress: ({ message }) => console.log(`  ${message}`),
  log: (line) => console.log(`  ${line}`),
};
const MOST_DIFFERENCE = 1e-6;
export const STEPS = 17;

let failed = 0;
export const failures = () => failed;

export function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}${detail && `: ${detail}`}`);
  if (!holds) failed++;
}

/** Prints the end of a log when the exit code is not as expected. Gives the log. */
export function checkExit(what, code, log) {
  const output = readFileSync(log, 'utf8');
  check(what, code === 0, code === 0 ? '' : `exit ${code}\n${output.slice(-2000)}`);
  return output;
}

/** The runtime's home of a platform, with its wheels. */
export async function homeOf(platform) {
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
export async function install(platform, home, probe) {
  const pin = PLATFORM_PINS[platform];
  const source = sourcesFor(pin, { home }, process.env).find(({ name }) => name === 'wheel');
  const machine = { platform, pin, env: process.env, probe };
  return installFrom({ source, pin, runtime: { dist, home }, options, machine });
}

/** A new folder with the tiny llama and a recipe for it, `name` below one that is removed. */
export function workspace(name) {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-platforms-')), name);
  mkdirSync(folder, { recursive: true });
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
  const text = JSON.stringify(recipe, null, 2).replaceAll('\n', '\r\n');
  writeFileSync(path.join(folder, 'lora.json'), text);
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

export function compareLosses(what, here, there) {
  const [a, b] = [lossesOf(here), lossesOf(there)];
  const difference = Math.max(...a.map((loss, i) => Math.abs(loss - b[i])));
  const isSame = a.length === STEPS && b.length === STEPS && difference <= MOST_DIFFERENCE;
  check(`${what}: ${STEPS} losses as on this machine`, isSame, `difference ${difference}`);
}

/** Trains here, for the comparison. */
export function trainHere(folder) {
  const runFolder = path.join(folder, 'here');
  const args = ['dist/cli.js', 'train', path.join(folder, 'lora.json'), '--run-dir', runFolder];
  check('training on this machine', runHere(process.execPath, args).ok);
  return runFolder;
}

/** The tests of the kernels, which ran in an emulator. */
export function checkTests(what, code, log) {
  const output = readFileSync(log, 'utf8');
  const passed = Number(/^# pass (\d+)/m.exec(output)?.[1] ?? 0);
  const failedTests = output.split('\n').filter((line) => /^\s*not ok/.test(line));
  const holds = code === 0 && passed > 0 && failedTests.length === 0;
  check(what, holds, holds ? `${passed} tests` : `exit ${code}\n${output.slice(-3000)}`);
}
