// npm test: all stages, cheapest first (scripts/stages.mjs); checks run beside the first tests.
//   npm test -- unit parity         only these stages
//   npm test -- --changed [COMMIT]  what the uncommitted changes, or those since COMMIT, touch
// Names the failed tests at the end; the last line is `N passed, N failed`. Uses only Node's own
// modules, so that it runs before anything is installed.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { changesFor, changedSince } from './changes.mjs';
import { dependenciesAreInstalled, installCommand, runShown } from './dependencies.mjs';
import { failureLines, outputFailure, vitestFailures } from './failures.mjs';
import { packageCommand } from './programs.mjs';
import { filesOf, STAGES } from './stages.mjs';

const root = path.resolve(import.meta.dirname, '..');
const out = path.join(root, 'out', 'tests');

/** Test files in a browser at a time: those of the workbench wait half of their time. */
const FILES_AT_A_TIME = Math.min(2, availableParallelism());

/** Runs a program of an installed package. */
function runPackage(name, args, options) {
  const [node, script] = packageCommand(name);
  return runShown(node, [script, ...args], options);
}

/** Each returns { passed, failures }; `files` and `args` restrict a stage. */
const RUNNERS = {
  async check(name, { commands = STAGES[name].commands }) {
    for (const [command, ...args] of commands) {
      const { ok, output } = await runPackage(command, args);
      if (!ok) return { passed: 0, failures: [outputFailure(command, output)] };
    }
    return { passed: 1, failures: [] };
  },

  async vitest(name, { args = [] }) {
    const report = emptyReport(name);
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const command = ['run', '--project', name, ...reporters, ...args];
    const { ok, output } = await runPackage('vitest', command, { live: true });
    if (!existsSync(report)) return { passed: 0, failures: [outputFailure('vitest', output)] };
    const results = JSON.parse(readFileSync(report, 'utf8'));
    const failures = vitestFailures(results, root); // a test that could not run has failed
    if (!ok && failures.length === 0) failures.push(outputFailure('vitest', output));
    return { passed: results.numPassedTests, failures };
  },

  async node(name, { files = filesOf(name) }) {
    const report = emptyReport(name);
    const reporters = [
      '--test-reporter=tap',
      '--test-reporter-destination=stdout',
      '--test-reporter=./scripts/nodeTestReporter.mjs',
      `--test-reporter-destination=${report}`,
    ];
    const args = ['--test', `--test-concurrency=${FILES_AT_A_TIME}`, ...reporters, ...files];
    const { ok, stdout, output } = await runShown(process.execPath, args);
    const passed = Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? 0);
    const failures = readFailures(report);
    if (!ok && failures.length === 0) failures.push(outputFailure('node --test', output));
    return { passed, failures };
  },

  async script(name) {
    const report = emptyReport(name);
    const args = [STAGES[name].script, report];
    const { ok, stdout, output } = await runShown(process.execPath, args);
    const passed = Number(/(\d+) passed, \d+ failed\s*$/.exec(stdout)?.[1] ?? 0);
    const failures = readFailures(report);
    if ((!ok || passed === 0) && failures.length === 0)
      failures.push(outputFailure(STAGES[name].script, output));
    return { passed, failures };
  },
};

/** The file for a stage's report, which does not exist. */
function emptyReport(name) {
  const report = path.join(out, `${name}.json`);
  rmSync(report, { force: true });
  return report;
}

/** The failures that a stage wrote, each as a line of JSON. */
function readFailures(report) {
  if (!existsSync(report)) return [];
  const lines = readFileSync(report, 'utf8').split('\n').slice(0, -1); // the last one may be torn
  return lines.map((line) => JSON.parse(line));
}

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

/** Installs and builds what the stages need. Returns why that failed, if it did. */
async function prepare(names) {
  try {
    if (!dependenciesAreInstalled()) {
      const { ok, output } = await runShown(...installCommand());
      if (!ok) return [outputFailure('npm ci', output)];
    }
    for (const need of new Set(names.flatMap((name) => STAGES[name].needs ?? [])))
      await PREPARATIONS[need]();
  } catch (error) {
    console.error(`\n${error.message}`);
    return [outputFailure('what the tests need', error.message)];
  }
  const { ok, output } = await runShown(process.execPath, ['scripts/build.mjs']);
  if (!ok) return [outputFailure('scripts/build.mjs', output)];
  return names.includes('workbench') ? packageExtension() : [];
}

/** Makes the package that all files of the workbench stage install, whatever happens meanwhile. */
async function packageExtension() {
  const { packageVsix } = await import('../test/workbench/packageVsix.mjs');
  try {
    process.env.LORA_TEST_PACKAGE = packageVsix();
    return [];
  } catch (error) {
    return [outputFailure('scripts/package.mjs', error.message)];
  }
}

const stages = chosenStages(process.argv.slice(2));
mkdirSync(out, { recursive: true });
const failed = await prepare(Object.keys(stages));
let passed = 0;

async function runStage([name, narrowed]) {
  const started = performance.now();
  console.log(`\n== ${name}`);
  const result = await RUNNERS[STAGES[name].run](name, narrowed);
  passed += result.passed;
  failed.push(...result.failures.map((failure) => ({ stage: name, ...failure })));
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(
    `== ${name}: ${result.passed} passed, ${result.failures.length} failed (${seconds} s)`,
  );
}

const chosen = failed.length === 0 ? Object.entries(stages) : [];
const isCheck = ([name]) => STAGES[name].run === 'check';
// Each check takes one processor, most of the time: they run beside the first stage of tests.
const checks = Promise.all(chosen.filter(isCheck).map(runStage));
const [first, ...later] = chosen.filter((stage) => !isCheck(stage));
if (first) await runStage(first);
await checks;
for (const stage of later) await runStage(stage);
for (const line of failureLines(failed)) console.log(line);
console.log(`\n${passed} passed, ${failed.length} failed`);
const nothingToRun = Object.keys(stages).length === 0;
process.exitCode = failed.length === 0 && (passed > 0 || nothingToRun) ? 0 : 1;
