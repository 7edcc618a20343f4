import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PreparedRepository } from '../../src/shared/preparedRepository';
import { programPath } from '../../scripts/programs.mjs';
import { cli, fixtures, tempFolder } from '../support/commandLine';
import { makeFimBase } from '../support/fimBase';

const plainBase = path.join(fixtures, 'llama/base');

function git(folder: string, ...args: readonly string[]): void {
  const who = ['-c', 'user.name=someone', '-c', 'user.email=someone@git.example'];
  const { status, stderr } = spawnSync(programPath('git'), [...who, ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

function write(folder: string, name: string, text: string | Buffer): void {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

const code = (name: string) =>
  Array.from({ length: 12 }, (_, i) => `${name} = ${name}${i} + ${i * i}\n`).join('');
/** In parts, so that nobody takes it for a real one. */
const TOKEN = ['glpat-', 'a1b2c3d4e5f6g7h8i9j0'].join('');

function makeRepository(): string {
  const folder = path.join(tempFolder(), 'repository');
  mkdirSync(folder);
  git(folder, 'init', '--quiet');
  for (const name of ['mill', 'river', 'stone', 'bridge', 'field', 'harbour'])
    write(folder, `src/${name}.py`, code(name));
  write(folder, 'src/copy.py', code('mill'));
  write(folder, 'web/app.ts', code('app'));
  write(folder, 'src/token.py', `a = 1\nkey = "${TOKEN}"\n`);
  write(folder, '.env', 'A=1\n');
  write(folder, 'yarn.lock', 'a\n');
  write(folder, 'src/data.py', Buffer.from([1, 0, 2]));
  write(folder, 'src/wide.py', 'x'.repeat(3000));
  write(folder, 'src/huge.py', code('huge').repeat(2000));
  write(folder, 'built.py', code('built'));
  write(folder, 'gone.py', code('gone'));
  symlinkSync('/etc/passwd', path.join(folder, 'src/link.py'));
  git(folder, 'add', '--all');
  write(folder, '.gitignore', 'built.py\n');
  write(folder, 'untracked.py', code('untracked'));
  spawnSync(programPath('rm'), [path.join(folder, 'gone.py')]);
  return folder;
}

async function prepared(folder: string, base: string, ...more: readonly string[]) {
  const output = path.join(folder, 'training');
  const args = ['prepare', '--repository', folder, '--base', base, '--output', output];
  const { code: exit, stdout, stderr } = await cli(...args, ...more, '--json');
  expect(stderr).toBe('');
  expect(exit).toBe(0);
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as PreparedRepository;
  return { output, result };
}

const rowsOf = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { input_ids: number[]; labels: number[]; text?: string });

describe('lora prepare --repository', () => {
  it('makes rows that ask for middles, and leaves out and counts the rest', async () => {
    const folder = makeRepository();
    const base = path.join(folder, 'models/fim');
    makeFimBase(base);
    const { output, result } = await prepared(folder, base, '--max-length', '64');
    expect(result).toMatchObject({
      fim: true,
      left_out: {
        link: 1,
        ignored: 1,
        lock: 1,
        binary: 1,
        minified: 1,
        huge: 1,
        duplicate: 1,
        secret: 2,
        unreadable: 1,
      },
    });
    expect(result.rows).toBeGreaterThan(10);
    expect(result.validation_rows).toBeGreaterThan(0);
    expect(readFileSync(path.join(output, 'left-out.txt'), 'utf8').split('\n').sort()).toEqual([
      '',
      '.env:1: environment file',
      'src/token.py:2: GitLab token',
    ]);
    for (const name of ['train.jsonl', 'validation.jsonl', 'lora.json', 'left-out.txt'])
      expect(readFileSync(path.join(output, name), 'utf8')).not.toContain(TOKEN);
    const { code: exit, stdout } = await cli('check', path.join(output, 'lora.json'), '--json');
    expect(exit).toBe(0);
    const checked = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as {
      sources: { examples: number; labelled_tokens: number }[];
    };
    const rows = rowsOf(path.join(output, 'train.jsonl'));
    const learnt = rows.flatMap(({ labels }) => labels).filter((label) => label !== -100);
    expect(checked.sources).toMatchObject([
      { examples: result.rows, labelled_tokens: learnt.length },
    ]);
    expect(rows.every(({ labels }) => labels[0] === -100 && labels.at(-1) === 2)).toBe(true);
  });

  it('is trained on: the loss of the middles falls', async () => {
    const folder = makeRepository();
    const base = path.join(folder, 'models/fim');
    makeFimBase(base);
    const { output } = await prepared(folder, base, '--max-length', '64', '--language', 'python');
    const file = path.join(output, 'lora.json');
    const recipe = JSON.parse(readFileSync(file, 'utf8')) as { training: object };
    const training = { ...recipe.training, max_steps: 30, learning_rate: 0.01, eval_steps: 30 };
    writeFileSync(file, JSON.stringify({ ...recipe, training }));
    const { stdout, code: exit } = await cli('train', file, '--json');
    expect(exit).toBe(0);
    const evaluations = stdout
      .split('\n')
      .filter((line) => line.includes('"eval"'))
      .map((line) => JSON.parse(line) as { loss: number });
    expect(evaluations.length).toBeGreaterThan(1);
    expect(evaluations.at(-1)!.loss).toBeLessThan(evaluations[0]!.loss);
  });

  it('makes texts for a base without such tokens, of the files that are asked for', async () => {
    const folder = makeRepository();
    const { output, result } = await prepared(folder, plainBase, '--glob', 'web/**');
    expect(result).toMatchObject({ fim: false, files: 1, left_out: {} });
    const [row] = rowsOf(path.join(output, 'train.jsonl'));
    expect(row!.text).toMatch(/^web\/app\.ts\napp = app0/);
    expect(JSON.parse(readFileSync(path.join(output, 'lora.json'), 'utf8'))).toMatchObject({
      validation_split: 0,
    });
    const few = await prepared(makeRepository(), plainBase, '--max-rows', '3');
    expect(few.result).toMatchObject({ files: 3, left_out: { beyond: 4 } });
    const { stdout } = await cli('prepare', '--repository', folder, '--languages', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      languages: [
        { id: 'python', name: 'Python' },
        { id: 'typescript', files: 1 },
      ],
    });
  });

  it('refuses what it cannot use, in one sentence, and writes nothing', async () => {
    const folder = makeRepository();
    const failed = async (...args: readonly string[]) => {
      const { code: exit, stderr } = await cli('prepare', ...args);
      expect(exit).not.toBe(0);
      return stderr;
    };
    const output = path.join(tempFolder(), 'out');
    const from = (place: string, base = plainBase, ...more: readonly string[]) =>
      failed('--repository', place, '--base', base, '--output', output, ...more);
    expect(await from(tempFolder())).toContain('The folder is not in a git repository.');
    expect(await from(path.join(folder, 'nowhere'))).toContain('not in a git repository');
    expect(await from(folder, plainBase, '--glob', 'none/**')).toContain(
      'git tracks no file here.',
    );
    expect(await from(folder, plainBase, '--language', 'rust')).toContain('No file is left');
    expect(await from(folder, path.join(fixtures, 'bert/base'))).toContain('does not write text');
    expect(await from(folder, plainBase, '--max-length', '4')).toContain('No row is left');
    cpSync(folder, output, { recursive: true });
    expect(await from(folder)).toContain('The output exists already.');
  });

  it('starts no program that the repository names', async () => {
    const folder = makeRepository();
    const trap = path.join(folder, 'trap.sh');
    const touched = path.join(folder, 'touched');
    writeFileSync(trap, `#!/bin/sh\n: > '${touched}'\n`, { mode: 0o755 });
    git(folder, 'config', 'core.fsmonitor', trap);
    git(folder, 'config', 'core.hooksPath', folder);
    git(folder, 'config', 'core.pager', trap);
    await prepared(folder, plainBase, '--glob', 'web/**');
    expect(() => readFileSync(touched)).toThrow('ENOENT');
  });
});
