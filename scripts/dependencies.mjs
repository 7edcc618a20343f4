// Only Node's own modules: runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { npmCommand, programEnvironment, programPath } from './programs.mjs';

const root = path.resolve(import.meta.dirname, '..');

/** Whether node_modules is up to date with package-lock.json. */
export function dependenciesAreInstalled() {
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
}

/**
 * Runs a program, named as on the PATH or by its full path, in the repository's folder and waits
 * for its end. Returns whether it succeeded and, with `capture`, its output.
 */
export function run(program, args, { capture = false } = {}) {
  const { status, stdout, error } = spawnSync(programPath(program), args, {
    cwd: root,
    env: programEnvironment(),
    encoding: 'utf8',
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
    maxBuffer: 2 ** 28,
  });
  if (error) console.error(error.message);
  return { ok: status === 0, stdout: stdout ?? '' };
}

/** Runs `npm ci` unless the dependencies are installed. Returns whether they are now. */
export function installDependencies() {
  if (dependenciesAreInstalled()) return true;
  const [node, npm] = npmCommand();
  return run(node, [npm, 'ci', '--no-audit', '--no-fund']).ok;
}
