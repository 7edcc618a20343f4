import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { expect } from 'vitest';
import type { MetricLine, StepLine } from '../../src/shared/metrics/lines';
import { parseMetrics } from '../../src/shared/metrics/parse';
import type { RunRecord } from '../../src/shared/run';
import { dist } from './tfjs';
import { programPath } from '../../scripts/programs.mjs';

export const fixtures = path.resolve(import.meta.dirname, '../fixtures');
export const tempFolder = () => mkdtempSync(path.join(tmpdir(), 'lora-cli-'));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function startCli(
  args: readonly string[],
  env: Record<string, string> = {},
): { readonly child: ChildProcess; readonly end: Promise<CliResult> } {
  const child = spawn(process.execPath, [path.join(dist, 'cli.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  return { child, end: ended(child) };
}

function ended(child: ChildProcessByStdio<null, Readable, Readable>): Promise<CliResult> {
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

const NOBODY = 65_534;

/** Runs the command line as a user for whom permissions count: as root it would write anywhere. */
export function cliWithoutRights(...args: readonly string[]): Promise<CliResult> {
  const isRoot = process.getuid?.() === 0;
  return ended(
    spawn(process.execPath, [path.join(dist, 'cli.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(isRoot && { uid: NOBODY, gid: NOBODY }),
    }),
  );
}

/**
 * Runs the command line with a limit on the size of files: longer writes fail, as on a full disk.
 */
export function cliWithin(kib: number, ...args: readonly string[]): Promise<CliResult> {
  return ended(
    spawn(
      programPath('bash'),
      [
        '-c',
        `ulimit -f ${kib}; exec "$0" "$@"`,
        process.execPath,
        path.join(dist, 'cli.js'),
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    ),
  );
}

export const cli = (...args: readonly string[]): Promise<CliResult> => startCli(args).end;

/** Trains to the end in a new run folder, and returns the folder. `said`: its warnings. */
export async function train(recipe: string, said: RegExp = /^$/): Promise<string> {
  const runDir = path.join(tempFolder(), 'run');
  const { code, stderr } = await cli('train', recipe, '--run-dir', runDir, '--json');
  expect(stderr).toMatch(said);
  expect(code).toBe(0);
  return runDir;
}

/** A changed copy of the tiny llama. */
export function baseWith(change: (folder: string) => void): string {
  const folder = path.join(tempFolder(), 'base');
  mkdirSync(folder);
  for (const name of [
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]) {
    copyFileSync(path.join(fixtures, 'llama/base', name), path.join(folder, name));
    chmodSync(path.join(folder, name), 0o644);
  }
  change(folder);
  return folder;
}

/** Changes keys of a JSON file; undefined removes one. */
export function editJson(file: string, change: object): void {
  writeFileSync(
    file,
    JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...change }),
  );
}

/** The llama base with a token in its tokenizer for which its embedding has no row. */
export const baseWithNewToken = (config: object = {}): string =>
  baseWith((folder) => {
    const file = path.join(folder, 'tokenizer.json');
    const json = JSON.parse(readFileSync(file, 'utf8')) as { added_tokens: object[] };
    editJson(file, {
      added_tokens: [
        ...json.added_tokens,
        { ...json.added_tokens[0]!, id: 384, content: '<|new|>' },
      ],
    });
    editJson(path.join(folder, 'tokenizer_config.json'), config);
  });

export interface RecipeChange {
  readonly top?: object;
  readonly lora?: object;
  readonly training?: object;
}

/** A folder with data.jsonl and lora.json for the tiny llama. */
export function makeRecipe(change: RecipeChange = {}, rows: readonly object[] = chats()): string {
  const folder = tempFolder();
  writeFileSync(
    path.join(folder, 'data.jsonl'),
    rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
  );
  const recipe = {
    base: path.join(fixtures, 'llama/base'),
    dataset: 'data.jsonl',
    samples: { sample_steps: 0 },
    ...change.top,
    lora: { r: 2, ...change.lora },
    training: {
      base_dtype: 'float32',
      max_steps: 12,
      per_device_train_batch_size: 2,
      max_length: 48,
      save_steps: 4,
      eval_steps: 5,
      ...change.training,
    },
  };
  const file = path.join(folder, 'lora.json');
  writeFileSync(file, JSON.stringify(recipe));
  return file;
}

export const chats = (): object[] =>
  ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'].map((word) => ({
    messages: [
      { role: 'user', content: `say ${word}` },
      { role: 'assistant', content: word },
    ],
  }));

export const weightsOf = (runDir: string): Buffer =>
  readFileSync(path.join(runDir, 'adapter/adapter_model.safetensors'));
export const recordOf = (runDir: string) =>
  JSON.parse(readFileSync(path.join(runDir, 'run.json'), 'utf8')) as RunRecord;
export const metricsOf = (runDir: string): MetricLine[] =>
  parseMetrics(readFileSync(path.join(runDir, 'metrics.jsonl'), 'utf8'));
export const stepsOf = (runDir: string): StepLine[] =>
  metricsOf(runDir).filter((line) => line.kind === 'step');

/** All files of a folder, to check that no incomplete file is left. */
export const filesIn = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).sort() : [];

/** Looks again until a condition holds; the limit only ends a test that fails. */
export async function until(look: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 600_000; !look();) {
    if (Date.now() > end) throw new Error(`waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Copies a run without its last checkpoint, resumes it to the end, and returns its folder. */
export async function resumedBefore(
  runDir: string,
  step: number,
  product: 'adapter' | 'model' = 'adapter',
): Promise<string> {
  const resumed = path.join(tempFolder(), 'run');
  cpSync(runDir, resumed, { recursive: true });
  for (const name of [`checkpoints/step-${step}`, product])
    rmSync(path.join(resumed, name), { recursive: true });
  editJson(path.join(resumed, 'run.json'), { state: 'stopped' });
  expect((await cli('train', '--resume', resumed)).code).toBe(0);
  return resumed;
}
