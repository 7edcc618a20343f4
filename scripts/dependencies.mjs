// Only Node's own modules: runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

/** Whether node_modules holds what package-lock.json names. */
export function dependenciesAreInstalled() {
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
}

/**
 * Runs a program to its end, in the repository's folder. Gives whether it succeeded and, with
 * `capture`, what it printed.
 */
export function run(command, args, { capture = false } = {}) {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
    maxBuffer: 2 ** 28,
    shell: process.platform === 'win32' && command !== process.execPath,
  });
  if (error) console.error(error.message);
  return { ok: status === 0, stdout: stdout ?? '' };
}

/** Runs `npm ci` unless the dependencies are installed. Gives whether they are now. */
export const installDependencies = () =>
  dependenciesAreInstalled() || run('npm', ['ci', '--no-audit', '--no-fund']).ok;
