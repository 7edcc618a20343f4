// Only Node's own modules: runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, statSync } from 'node:fs';
import path from 'node:path';
import { npmCommand, programEnvironment, programPath } from './programs.mjs';

const root = path.resolve(import.meta.dirname, '..');

const modules = path.join(root, 'node_modules');

/** Whether node_modules is up to date with package-lock.json. */
export function dependenciesAreInstalled() {
  const installed = path.join(modules, '.package-lock.json');
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

/**
 * Runs a program as `run` does, but returns at once: a promise of whether it succeeded, of what it
 * wrote to stdout, and of all its output, which is shown as it comes. With `live` stdout goes to
 * the terminal itself and is not returned.
 */
export function runShown(program, args, { live = false } = {}) {
  const stdio = ['ignore', live ? 'inherit' : 'pipe', 'pipe'];
  const env = { ...programEnvironment(), ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}) };
  const child = spawn(programPath(program), args, { cwd: root, env, stdio });
  let stdout = '';
  let output = '';
  const show = (stream, { to, isStdout }) => {
    stream?.setEncoding('utf8').on('data', (text) => {
      to.write(text);
      output += text;
      if (isStdout) stdout += text;
    });
  };
  show(child.stdout, { to: process.stdout, isStdout: true });
  show(child.stderr, { to: process.stderr, isStdout: false });
  return new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(error.message);
      resolve({ ok: false, stdout, output: error.message });
    });
    child.on('close', (code) => resolve({ ok: code === 0, stdout, output }));
  });
}

/**
 * The command that installs the dependencies, as [program, arguments].
 * @throws {Error} where node_modules is a link: npm would empty the folder that it leads to.
 */
export function installCommand() {
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink())
    throw new Error(
      'node_modules is a link and out of date. Run npm ci in the folder it leads to.',
    );
  const [node, npm] = npmCommand();
  return [node, [npm, 'ci', '--no-audit', '--no-fund']];
}

/** Runs `npm ci` unless the dependencies are installed. Returns whether they are now. */
export function installDependencies() {
  return dependenciesAreInstalled() || run(...installCommand()).ok;
}
