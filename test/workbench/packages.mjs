// Installs npm packages that only some tests need, into a folder of the user's cache. Their
// versions and checksums are those of the lock file in packages/<name>.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { npmCommand, programEnvironment } from '../../scripts/programs.mjs';

const FILES = ['package.json', 'package-lock.json'];
const fileOf = (name, file) => path.join(import.meta.dirname, 'packages', name, file);

/** The folder of a set of packages. Another lock file has another folder. */
export function packagesFolder(name) {
  const hash = createHash('sha256').update(readFileSync(fileOf(name, 'package-lock.json')));
  const version = hash.digest('hex').slice(0, 12);
  return path.join(homedir(), '.cache', 'lora-workbench', `${name}-${version}`);
}

/** Installs a set of packages into an existing empty folder. */
export function installPackages(name, folder) {
  for (const file of FILES) copyFileSync(fileOf(name, file), path.join(folder, file));
  npmCi(folder);
}

/**
 * `npm ci` by the lock file in a folder, whose checksums npm verifies. Runs no install scripts, and
 * adds no peers that the lock file does not have.
 * @throws {Error} when npm fails; its output is on standard error.
 */
export function npmCi(folder) {
  const [node, npm] = npmCommand();
  const options = [
    '--ignore-scripts',
    '--omit=dev',
    '--legacy-peer-deps',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  execFileSync(node, [npm, 'ci', ...options], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    // npm sets these to the package it was called in, and would install there
    env: {
      ...programEnvironment(),
      npm_config_prefix: undefined,
      npm_config_local_prefix: undefined,
    },
  });
}
