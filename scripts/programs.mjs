// Finds the programs that scripts and tests start: by their full paths, never in the current folder
// and never through a shell. Only Node's own modules: runs before anything is installed.
// src/common/programs.ts does it for the extension.
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

/** On Windows a path without a drive is relative to the current one. */
const isFullPath = (file, platform) =>
  platform === 'win32' ? /^(?:[a-z]:[\\/]|\\\\[^\\/.?])/i.test(file) : path.posix.isAbsolute(file);

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The variable may be called Path on Windows. */
const pathKey = (env) => Object.keys(env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH';

/** The folders of PATH without those that depend on the current folder. */
const foldersOf = (env, platform) =>
  (env[pathKey(env)] ?? '')
    .split(platform === 'win32' ? ';' : ':')
    .filter((folder) => isFullPath(folder, platform));

/**
 * The full path of a program, given its name on the PATH or its full path; null when there is none.
 * On Windows only .exe files count: scripts need a shell.
 */
export function findProgram(name, { env = process.env, platform = process.platform } = {}) {
  const file = platform === 'win32' && !/\.exe$/i.test(name) ? `${name}.exe` : name;
  if (isFullPath(file, platform)) return isProgram(file) ? file : null;
  if (/[\\/:]/.test(name)) return null;
  const { join } = platform === 'win32' ? path.win32 : path.posix;
  const places = foldersOf(env, platform).map((folder) => join(folder, file));
  return places.find(isProgram) ?? null;
}

/** As findProgram. @throws {Error} that names the program when there is none. */
export function programPath(name, options) {
  const found = findProgram(name, options);
  if (found === null) throw new Error(`${name} was not found on the PATH. Install it.`);
  return found;
}

/** An environment whose PATH has no entry that depends on the current folder. */
export function programEnvironment(env = process.env, platform = process.platform) {
  const key = pathKey(env);
  return { ...env, [key]: foldersOf(env, platform).join(platform === 'win32' ? ';' : ':') };
}

const NPM = 'npm-cli.js';

/**
 * npm as [program, ...arguments]: its script, run by this Node, so that Windows needs no shell. It
 * is the npm that runs this script, else the one beside this Node or on the PATH.
 * @throws {Error} when there is none.
 */
export function npmCommand({ env = process.env, platform = process.platform } = {}) {
  const bin = path.dirname(process.execPath);
  const onPath = foldersOf(env, platform).map((folder) => path.join(folder, 'npm'));
  const places = [
    env.npm_execpath ?? '',
    path.join(bin, 'node_modules', 'npm', 'bin', NPM),
    path.join(bin, '..', 'lib', 'node_modules', 'npm', 'bin', NPM),
    ...onPath.filter(existsSync).map((file) => realpathSync(file)),
    ...foldersOf(env, platform).map((folder) =>
      path.join(folder, 'node_modules', 'npm', 'bin', NPM),
    ),
  ];
  const script = places.find(
    (file) => isFullPath(file, platform) && path.basename(file) === NPM && existsSync(file),
  );
  if (script === undefined) throw new Error('npm was not found. Install Node.js with npm.');
  return [process.execPath, script];
}

/** Programs whose package has another name. */
const PACKAGES = { tsc: 'typescript', depcruise: 'dependency-cruiser' };

/** A program of an installed package as [program, ...arguments], without npm's shim for a shell. */
export function packageCommand(name) {
  const folder = path.join(root, 'node_modules', PACKAGES[name] ?? name);
  const { bin } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  return [process.execPath, path.join(folder, typeof bin === 'string' ? bin : bin[name])];
}
