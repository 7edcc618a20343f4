// ruff and mypy --strict of the programs for Ray: npm run test:targets -- python
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import { programPath } from '../../scripts/programs.mjs';
import { trainerPython } from './trainer.mjs';

const folder = path.resolve(import.meta.dirname, '../../engine/ray');
const TOOLS = ['ruff==0.17.6', 'mypy==2.4.1'];
const home = path.join(homedir(), '.cache', 'lora-workbench', 'ray', TOOLS.join('-'));
let python;

before(() => {
  python = trainerPython();
  if (existsSync(home)) return;
  const temp = `${home}.${process.pid}.tmp`;
  rmSync(temp, { recursive: true, force: true });
  const stdio = ['ignore', 'inherit', 'inherit'];
  execFileSync(programPath('python3'), ['-m', 'venv', temp], { stdio });
  const pip = ['-m', 'pip', 'install', '--quiet', '--only-binary=:all:', ...TOOLS];
  execFileSync(path.join(temp, 'bin', 'python'), pip, { stdio });
  renameSync(temp, home);
});

for (const [name, args] of [
  ['ruff', ['check', '--no-cache', '.']],
  ['ruff', ['format', '--check', '--no-cache', '.']],
  ['mypy', ['--config-file', 'pyproject.toml', '--cache-dir', path.join(home, 'cache'), '.']],
])
  test(`${name} ${args[0]}`, () => {
    const own = name === 'mypy' ? [...args, '--python-executable', python] : args;
    const tool = [path.join(home, 'bin', 'python'), '-m', name, ...own];
    const { status, stdout, stderr } = spawnSync(tool[0], tool.slice(1), {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });
