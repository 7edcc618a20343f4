// npm run test:targets: runs on servers and clusters of this machine, as users reach theirs.
//   npm run test:targets -- ray    the tests of some kinds only
// Ray is installed into the user's cache, with Python's venv and pip.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { RAY_VERSION, rayHome } from '../test/targets/rayCluster.mjs';
import { run } from './dependencies.mjs';
import { programPath } from './programs.mjs';

const root = path.resolve(import.meta.dirname, '..');
const folder = path.join(root, 'test', 'targets');
const chosen = process.argv.slice(2);

/** What the tests of a kind need. */
const NEEDS = {
  editorRay: installRay,
  ray: installRay,
  rayCommand: installRay,
  rayStorage: installRay,
};

function installRay() {
  const home = rayHome();
  if (existsSync(path.join(home, 'bin', 'ray'))) return true;
  const made = run(programPath('python3'), ['-m', 'venv', home]).ok;
  const pip = ['-m', 'pip', 'install', '--only-binary=:all:', `ray[default]==${RAY_VERSION}`];
  if (made && run(path.join(home, 'bin', 'python'), pip).ok) return true;
  rmSync(home, { recursive: true, force: true });
  return false;
}

const kinds = readdirSync(folder)
  .map((name) => /^(\w+)\.test\.mjs$/.exec(name)?.[1])
  .filter((kind) => kind !== undefined && (chosen.length === 0 || chosen.includes(kind)));

if (!run(process.execPath, [path.join(root, 'scripts', 'build.mjs')]).ok) process.exit(1);
let failed = kinds.length === 0;
for (const kind of kinds) {
  const file = path.join(folder, `${kind}.test.mjs`);
  const isReady = NEEDS[kind]?.() ?? true;
  if (!isReady || !run(process.execPath, ['--test', '--test-reporter=spec', file]).ok)
    failed = true;
}
process.exit(failed ? 1 : 0);
