import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { cli, fixtures, tempFolder } from './commandLine';

/** The values of a command's options: a list repeats the option, true is a flag. */
export type CliOptions = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** A path in test/fixtures. */
export const inFixtures = (...parts: readonly string[]): string => path.join(fixtures, ...parts);

/** A path in a new folder, at which nothing exists. */
export const newPath = (name: string): string => path.join(tempFolder(), name);

/** { base: 'x', chat: true } -> ['--base', 'x', '--chat'] */
export function cliArgs(options: CliOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) {
      return [];
    }
    if (value === true) {
      return [`--${name}`];
    }
    const values = typeof value === 'object' ? value : [String(value)];
    return values.map((item) => `--${name}=${item}`);
  });
}

/** Runs a command that must succeed. Returns its result. */
export async function cliResult<T>(command: string, options: CliOptions): Promise<T> {
  const { code, stdout, stderr } = await cli(command, ...cliArgs(options), '--json');
  expect([code, stderr]).toEqual([0, warningsIn(stdout)]);
  return lastLine(stdout) as T;
}

/** The warnings among JSON objects, one per line, as standard error has them as well. */
const warningsIn = (stdout: string): string =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly kind?: string; readonly message?: string })
    .map(({ kind, message }) => (kind === 'warning' ? `${message}\n` : ''))
    .join('');

/** The last of several JSON objects, one per line. */
export const lastLine = (stdout: string): unknown => JSON.parse(stdout.trim().split('\n').at(-1)!);

/** Runs a command that must fail. Returns its error message. */
export async function cliError(command: string, options: CliOptions): Promise<string> {
  const { code, stderr } = await cli(command, ...cliArgs(options));
  expect(code).not.toBe(0);
  return stderr;
}

/** The logits of a model with adapters, as lora logits writes them. */
export async function cliLogits(
  inputs: object,
  model: { readonly base: string; readonly adapter?: string },
): Promise<Float32Array> {
  const input = newPath('in.json');
  const output = newPath('out.safetensors');
  writeFileSync(input, JSON.stringify(inputs));
  const { code, stderr } = await cli('logits', ...cliArgs({ ...model, input, output }));
  expect(code, stderr).toBe(0);
  return withSafetensors(output, (source) => source.readF32('logits'));
}

/** What a model answers to "What is 2 + 2?", as lora generate --chat writes it. */
export async function cliAnswer(model: {
  readonly base: string;
  readonly adapter?: string;
}): Promise<string> {
  const { text } = await cliResult<{ text: string }>('generate', {
    ...model,
    chat: true,
    prompt: 'What is 2 + 2?',
    'max-new-tokens': 8,
  });
  return text;
}
