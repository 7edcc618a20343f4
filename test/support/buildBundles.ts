import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { isProcessAlive } from '../../src/common/system';

const root = path.resolve(import.meta.dirname, '../..');
const BUILD_SCRIPT = path.join(root, 'scripts/build.mjs');
/** The sources of the bundles. */
const SOURCES = ['src', 'webview', 'scripts', 'package.json', 'package-lock.json'];
/** The bundles that tests start or load. */
const BUNDLES = ['dist/cli.js', 'dist/worker.js', 'dist/tfjs-node.js', 'dist/tfjs-wasm.js'];
/** Hash of the sources and bundles of the last build. */
const STAMP = path.join(root, 'out/bundles.sha256');
const LOCK = path.join(root, 'out/bundles.lock');
const LOCK_RETRY_MS = 100;

/** vitest's globalSetup: tests run the bundles of the present sources, in watch mode too. */
export default async function setup(project: TestProject): Promise<void> {
  await buildBundles();
  project.onTestsRerun(buildBundles);
}

/** Rebuilds dist/*.js if the sources or the bundles have changed since the last build. */
async function buildBundles(): Promise<void> {
  mkdirSync(path.dirname(LOCK), { recursive: true });
  await acquireLock();
  try {
    if (readText(STAMP) === currentHash()) return;
    const { status } = spawnSync(process.execPath, [BUILD_SCRIPT, '--bundles'], {
      cwd: root,
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error('The bundles in dist/ could not be built.');
    writeFileSync(STAMP, currentHash());
  } finally {
    rmSync(LOCK, { force: true });
  }
}

/** Waits while another live process holds the lock file, which contains its process id. */
async function acquireLock(): Promise<void> {
  for (;;) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = readText(LOCK);
    if (owner !== '' && !isProcessAlive(Number(owner))) rmSync(LOCK, { force: true });
    await delay(LOCK_RETRY_MS);
  }
}

function currentHash(): string {
  const hash = createHash('sha256');
  for (const file of [...SOURCES.flatMap(filesUnder), ...BUNDLES]) {
    hash.update(`${file}\0`).update(readText(path.join(root, file)));
  }
  return hash.digest('hex');
}

/** The file itself, or all files of a folder, sorted. */
function filesUnder(name: string): string[] {
  const full = path.join(root, name);
  if (!statSync(full).isDirectory()) return [name];
  return readdirSync(full, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** '' if the file does not exist. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
