// npm test: all stages, cheapest first (scripts/stages.mjs).
//   npm test -- unit parity         only these stages
//   npm test -- --changed [COMMIT]  what the uncommitted changes, or those since COMMIT, touch
// The last line is `N passed, N failed`. Uses only Node's own modules, so that it runs before
// anything is installed.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { changesFor, changedSince } from './changes.mjs';
import { installDependencies, run } from './dependencies.mjs';
import { packageCommand } from './programs.mjs';
import { filesOf, STAGES } from './stages.mjs';

const root = path.resolve(import.meta.dirname, '..');
const out = path.join(root, 'out', 'tests');

/** Runs a program of an installed package. */
function runPackage(name, args) {
  const [node, script] = packageCommand(name);
  return run(node, [script, ...args]);
}

/** Each returns { passed, failed }; `files` and `args` restrict a stage. */
const RUNNERS = {
  check(name, { commands = STAGES[name].commands }) {
    const ok = commands.every(([command, ...args]) => runPackage(command, args).ok);
    return { passed: Number(ok), failed: Number(!ok) };
  },

  vitest(name, { args = [] }) {
    const report = path.join(out, `${name}.json`);
    rmSync(report, { force: true });
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { ok } = runPackage('vitest', ['run', '--project', name, ...reporters, ...args]);
    if (!existsSync(report)) return { passed: 0, failed: 1 };
    const { numPassedTests, numTotalTests } = JSON.parse(readFileSync(report, 'utf8'));
    const failed = numTotalTests - numPassedTests; // a test that could not run has failed
    return { passed: numPassedTests, failed: failed || Number(!ok) };
  },

  node(name, { files = filesOf(name) }) {
    const args = ['--test', '--test-concurrency=1', '--test-reporter=tap', ...files];
    const { ok, stdout } = run(process.execPath, args, { capture: true });
    process.stdout.write(stdout);
    const count = (kind) => Number(new RegExp(`^# ${kind} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
    const failed = count('fail') + count('cancelled') + count('skipped') + count('todo');
    return { passed: count('pass'), failed: failed || Number(!ok) };
  },

  script(name) {
    const { stdout } = run(process.execPath, [STAGES[name].script], { capture: true });
    process.stdout.write(stdout);
    const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(stdout) ?? ['', '0', '1'];
    return { passed: Number(passed), failed: Number(failed) };
  },
};

/** What stages need beyond the dependencies; each throws an error that says what to do. */
const PREPARATIONS = {
  async browser() {
    const { provideBrowser } = await import('../test/support/browser.mjs');
    await provideBrowser(console.log);
  },
  async workbench() {
    const { installWorkbench } = await import('../test/workbench/install.mjs');
    installWorkbench(console.log);
  },
};

/** The stages to run, each with what restricts it. Exits if a name is unknown. */
function chosenStages([first, ...rest]) {
  if (first === '--changed') return changesFor(changedSince(rest[0]), rest[0]);
  const names = first === undefined ? Object.keys(STAGES) : [first, ...rest];
  const unknown = names.filter((name) => !(name in STAGES));
  if (unknown.length > 0) {
    const known = Object.keys(STAGES).join(', ');
    console.error(`There is no stage ${unknown.join(', ')}. The stages are: ${known}.`);
    process.exit(2);
  }
  return Object.fromEntries(
    Object.keys(STAGES)
      .filter((name) => names.includes(name))
      .map((name) => [name, {}]),
  );
}

/** Installs and builds what the stages need. Returns whether everything is ready. */
async function prepare(names) {
  if (!installDependencies()) return false;
  try {
    for (const need of new Set(names.flatMap((name) => STAGES[name].needs ?? [])))
      await PREPARATIONS[need]();
  } catch (error) {
    console.error(`\n${error.message}`);
    return false;
  }
  return run(process.execPath, ['scripts/build.mjs']).ok;
}

const stages = chosenStages(process.argv.slice(2));
mkdirSync(out, { recursive: true });
const total = { passed: 0, failed: 0 };
const ready = await prepare(Object.keys(stages));
if (!ready) total.failed++;
for (const [name, narrowed] of Object.entries(ready ? stages : {})) {
  const started = performance.now();
  console.log(`\n== ${name}`);
  const { passed, failed } = RUNNERS[STAGES[name].run](name, narrowed);
  total.passed += passed;
  total.failed += failed;
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`== ${name}: ${passed} passed, ${failed} failed (${seconds} s)`);
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
const nothingToRun = Object.keys(stages).length === 0;
process.exitCode = total.failed === 0 && (total.passed > 0 || nothingToRun) ? 0 : 1;
