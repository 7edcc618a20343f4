import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { keepRunsOutOfGit } from '../../../../src/formats/run/gitIgnore';
import { temp } from '../../../support/temp';
import { programPath } from '../../../../scripts/programs.mjs';

const git = (folder: string, ...args: readonly string[]) =>
  execFileSync(programPath('git'), ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });

async function projectWithRun(): Promise<{ readonly project: string; readonly run: string }> {
  const project = temp();
  const run = path.join(project, '.lora/runs/20260101-000000-0000');
  mkdirSync(path.join(run, 'checkpoints/step-1'), { recursive: true });
  mkdirSync(path.join(project, '.lora/sweeps/a'), { recursive: true });
  for (const file of [
    `${run}/run.json`,
    `${run}/checkpoints/step-1/optimizer.safetensors`,
    `${project}/.lora/sweeps/a/r1.lora.json`,
    `${project}/.lora/prompts.json`,
    `${project}/lora.json`,
  ])
    writeFileSync(file, '{}');
  await keepRunsOutOfGit(run);
  return { project, run };
}

describe('the .gitignore of .lora', () => {
  it('keeps runs out of git add -A, but not recipes and prompts', async () => {
    const { project } = await projectWithRun();
    git(project, 'init', '-q');
    git(project, 'add', '-A');
    expect(git(project, 'ls-files').trim().split('\n')).toEqual([
      '.lora/prompts.json',
      '.lora/sweeps/a/r1.lora.json',
      'lora.json',
    ]);
  });

  it('and the runs stay, still ignored, through a change of branch', async () => {
    const { project, run } = await projectWithRun();
    git(project, 'init', '-q');
    git(project, 'commit', '-q', '--allow-empty', '-m', 'empty');
    git(project, 'checkout', '-q', '-b', 'other');
    git(project, 'add', '-A');
    git(project, 'commit', '-q', '-m', 'recipes');
    git(project, 'checkout', '-q', '-');
    expect(existsSync(path.join(run, 'run.json'))).toBe(true);
    expect(existsSync(path.join(run, 'checkpoints/step-1/optimizer.safetensors'))).toBe(true);
    git(project, 'add', '-A');
    expect(git(project, 'ls-files').trim()).toBe('');
  });

  it("never replaces a user's own", async () => {
    const lora = path.join(temp(), '.lora');
    mkdirSync(path.join(lora, 'runs'), { recursive: true });
    writeFileSync(path.join(lora, '.gitignore'), '# mine\n');
    await keepRunsOutOfGit(path.join(lora, 'runs'));
    expect(readFileSync(path.join(lora, '.gitignore'), 'utf8')).toBe('# mine\n');
  });

  it('is not written outside of .lora', async () => {
    const folder = temp();
    await keepRunsOutOfGit(folder);
    expect(existsSync(path.join(folder, '.gitignore'))).toBe(false);
  });
});
