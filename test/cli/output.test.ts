import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { inFixtures, lastLine } from '../support/cliResults';
import {
  chats,
  cli,
  cliWithoutRights,
  filesIn,
  makeRecipe,
  tempFolder,
} from '../support/commandLine';

const base = inFixtures('llama/base');
const missing = path.join(tempFolder(), 'none');
const missingRecipe = path.join(missing, 'lora.json');

/** One failure of each command. */
const FAILURES: Readonly<Record<string, readonly string[]>> = {
  train: [missingRecipe],
  'train --resume': ['--resume', missing],
  generate: ['--base', missing, '--prompt', 'x'],
  serve: ['--base', missing],
  evaluate: ['--base', missing, '--dataset', 'x.jsonl'],
  check: [missingRecipe],
  logits: ['--base', base, '--input', missing, '--output', path.join(missing, 'x.safetensors')],
  merge: ['--base', missing, '--adapter', missing, '--output', path.join(missing, 'x')],
  unmerge: ['--merged', missing, '--output', path.join(missing, 'x')],
  compare: [missing, missing],
  combine: ['--adapter', missing, '--adapter', missing, '--output', path.join(missing, 'x')],
  resize: ['--adapter', missing, '--rank', '1', '--output', path.join(missing, 'x')],
  extract: ['--base', missing, '--tuned', missing, '--rank', '1', '--output', missing],
  convert: ['--adapter', missing, '--to', 'peft', '--output', path.join(missing, 'x')],
  inspect: [missingRecipe],
};

describe('a command that fails', () => {
  it.each(Object.entries(FAILURES))(
    '%s: the last object names the error, standard error has the same as text',
    async (name, args) => {
      const { code, stdout, stderr } = await cli(name.split(' ')[0]!, ...args, '--json');
      expect([1, 2]).toContain(code);
      const { kind, error } = lastLine(stdout) as { kind: string; error: { message: string } };
      expect(kind).toBe('error');
      expect(stderr).toContain(error.message);
      expect(stderr).not.toMatch(/^\s+at /m);
    },
  );

  it('without --json prints nothing to standard output', async () => {
    const { code, stdout, stderr } = await cli('check', missingRecipe);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/lora\.json: The recipe cannot be read: it does not exist\.\n$/);
  });
});

it('check ends with 1 where rows have errors, with and without --json', async () => {
  const recipe = makeRecipe();
  appendFileSync(path.join(path.dirname(recipe), 'data.jsonl'), '{"neither":1}\n');
  expect((await cli('check', recipe)).code).toBe(1);
  const { code, stdout } = await cli('check', recipe, '--json');
  expect([code, lastLine(stdout)]).toMatchObject([1, { kind: 'result' }]);
});

it('warnings are objects on standard output with --json, and text on standard error always', async () => {
  const long = { prompt: 'say it', completion: 'a '.repeat(60) };
  const recipe = makeRecipe({ training: { max_steps: 1 } }, [...chats(), long]);
  const said = /1 of 11 rows is truncated to max_length = 48 tokens; the longest has \d+\./;
  const text = await cli('train', recipe);
  expect([text.code, text.stderr]).toEqual([0, expect.stringMatching(said)]);
  const json = await cli('train', recipe, '--json');
  const warnings = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; message: string })
    .filter(({ kind }) => kind === 'warning');
  expect(warnings.map(({ message }) => `${message}\n`).join('')).toBe(json.stderr);
  expect(json.stderr).toMatch(said);
  expect(lastLine(json.stdout)).toMatchObject({ kind: 'result', state: 'completed' });
});

it('the end of a run tells when it is worse than the base, and names best/', async () => {
  const recipe = makeRecipe({
    top: { validation: 'validation.jsonl' },
    training: { max_steps: 4, eval_steps: 2, learning_rate: 5e-1, warmup_ratio: 0 },
  });
  writeFileSync(
    path.join(path.dirname(recipe), 'validation.jsonl'),
    `${JSON.stringify({ prompt: 'the old mill', completion: 'by the river' })}\n`,
  );
  const { code, stdout } = await cli('train', recipe);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /The validation loss was lower before the training \(\d+\.\d+ at step 0\)/,
  );
});

describe('a folder that cannot be written', () => {
  it('a file in place of the folder of runs is named as such', async () => {
    const recipe = makeRecipe();
    writeFileSync(path.join(path.dirname(recipe), '.lora'), '');
    const { code, stderr } = await cli('train', recipe);
    expect(code).toBe(1);
    expect(stderr).toContain('The run cannot be written: a part of its path is a file');
  });

  it('a name that is too long is named as such', async () => {
    const runDir = path.join(tempFolder(), 'x'.repeat(300));
    const { code, stderr } = await cli('train', makeRecipe(), '--run-dir', runDir);
    expect(code).toBe(1);
    expect(stderr).toContain('its name or path is too long');
  });

  it.skipIf(process.platform === 'win32')('a read-only folder is called read-only', async () => {
    const recipe = makeRecipe();
    chmodSync(path.dirname(recipe), 0o555);
    const { code, stderr } = await cliWithoutRights('train', recipe);
    expect(stderr).toContain('read-only');
    expect(code).toBe(1);
  });

  it('holds files that a run would overwrite: nothing is changed', async () => {
    const runDir = tempFolder();
    mkdirSync(path.join(runDir, 'adapter'));
    writeFileSync(path.join(runDir, 'adapter/adapter_model.safetensors'), 'mine');
    const { code, stderr } = await cli('train', makeRecipe(), '--run-dir', runDir);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'This folder already contains adapter, which the run would overwrite.',
    );
    expect(filesIn(runDir)).toEqual([
      'adapter',
      path.normalize('adapter/adapter_model.safetensors'),
    ]);
    expect(readFileSync(path.join(runDir, 'adapter/adapter_model.safetensors'), 'utf8')).toBe(
      'mine',
    );
  });
});
