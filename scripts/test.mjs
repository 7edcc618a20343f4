// npm test: everything, in the order of cost. `npm test -- unit parity` runs chosen stages. Only
// Node's own modules: nothing need be installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const out = path.join(root, 'out', 'tests');
const bin = (name) => path.join(root, 'node_modules', '.bin', name);

function run(command, args, capture = false) {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
    maxBuffer: 1 << 28,
    shell: process.platform === 'win32',
  });
  if (error) console.error(error.message);
  return { ok: status === 0, stdout: stdout ?? '' };
}

/** A check that counts as one test. */
const check =
  (...commands) =>
  () => {
    const ok = commands.every(([command, ...args]) => run(command, args).ok);
    return { passed: Number(ok), failed: Number(!ok) };
  };

/** Tests of a vitest project; a run that left no report counts as failed. */
const vitest = (project) => () => {
  const report = path.join(out, `${project}.json`);
  rmSync(report, { force: true });
  const { ok } = run(bin('vitest'), [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const {
    numPassedTests: passed,
    numFailedTests,
    numTotalTests,
  } = JSON.parse(readFileSync(report, 'utf8'));
  const notRun = numTotalTests - passed - numFailedTests; // a test that cannot run has failed
  return { passed, failed: numFailedTests + notRun + Number(!ok && numFailedTests + notRun === 0) };
};

/** Tests of node:test files, by the TAP summary. */
const nodeTests =
  (...files) =>
  () => {
    const { ok, stdout } = run(
      process.execPath,
      ['--test', '--test-concurrency=1', '--test-reporter=tap', ...files],
      true,
    );
    process.stdout.write(stdout);
    const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
    const failed = count('fail') + count('cancelled') + count('skipped') + count('todo');
    return { passed: count('pass'), failed: failed + Number(!ok && failed === 0) };
  };

/** A script whose last line is `N passed, N failed`. */
const script = (file) => () => {
  const { stdout } = run(process.execPath, [file], true);
  process.stdout.write(stdout);
  const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(stdout) ?? ['', '0', '1'];
  return { passed: Number(passed), failed: Number(failed) };
};

const STAGES = {
  types: check([bin('tsc'), '-b', 'scripts/types']),
  lint: check(
    [bin('prettier'), '--check', '.', '--log-level', 'warn'],
    [bin('eslint'), '.'],
    [bin('depcruise'), 'src', 'webview', '--no-progress'],
  ),
  unit: vitest('unit'),
  fuzz: vitest('fuzz'),
  parity: vitest('parity'),
  cli: vitest('cli'),
  dashboard: nodeTests('test/workbench/pages'),
  integration: script('test/integration/run.mjs'),
  workbench: nodeTests(
    ...[
      'train',
      'configure',
      'history',
      'queue',
      'playground',
      'data',
      'hub',
      'inspector',
      'features',
      'details',
      'keyboard',
      'windows',
      'multiroot',
      'runtime',
    ].map((name) => `test/workbench/${name}.test.mjs`),
  ),
};

function isInstalled() {
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  return (
    existsSync(installed) &&
    statSync(installed).mtimeMs >= statSync(path.join(root, 'package-lock.json')).mtimeMs
  );
}

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in STAGES));
if (unknown.length > 0) {
  console.error(
    `No stage is called ${unknown.join(', ')}. There are: ${Object.keys(STAGES).join(', ')}.`,
  );
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const total = { passed: 0, failed: 0 };
const ready =
  (isInstalled() || run('npm', ['ci']).ok) && run(process.execPath, ['scripts/build.mjs']).ok;
if (!ready) total.failed++;
for (const name of ready
  ? Object.keys(STAGES).filter((stage) => chosen.length === 0 || chosen.includes(stage))
  : []) {
  const started = performance.now();
  console.log(`\n== ${name}`);
  const { passed, failed } = STAGES[name]();
  total.passed += passed;
  total.failed += failed;
  console.log(
    `== ${name}: ${passed} passed, ${failed} failed (${Math.round((performance.now() - started) / 1000)} s)`,
  );
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
