// Runs the tests with Mocha in a real extension host, with the extension loaded from this
// repository. The last line of the output is "N passed, N failed"; a file named as the argument
// gets each failure as a line of JSON (scripts/failures.mjs).
import { build } from 'esbuild';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runExtensionTests } from '../workbench/extensionTests.mjs';
import { installWorkbench, makeWorkspace, root, runtimeFolder } from '../workbench/workspace.mjs';

const here = import.meta.dirname;
const names = readdirSync(here).filter((name) => name.endsWith('.test.ts'));
const outdir = path.join(root, 'out', 'integration');
await build({
  absWorkingDir: root,
  entryPoints: names.map((name) => path.join(here, name)),
  outdir,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  external: ['vscode'],
  logLevel: 'warning',
});

const result = await runExtensionTests({
  dir: installWorkbench(),
  extensionDir: root,
  workspace: makeWorkspace(),
  files: names.map((name) => path.join(outdir, name.replace(/\.ts$/, '.js'))),
  settings: { 'lora.runtime.path': runtimeFolder() },
  ui: 'bdd',
});
console.log(result.output);
if (result.failed > 0 || result.passed === 0)
  console.log(result.workbench.join('\n'), result.hostLog);
const [report] = process.argv.slice(2);
const failures = result.tests.filter(({ state }) => state !== 'passed');
if (report !== undefined)
  writeFileSync(report, failures.map((test) => `${JSON.stringify(failureOf(test))}\n`).join(''));
const failed = result.failed + result.pending + Number(result.passed === 0);
console.log(`${result.passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function failureOf({ title, file, error }) {
  const source = file && `test/integration/${path.basename(file, '.js')}.ts`;
  return { file: source, name: title, message: error ?? 'The test did not run (pending).' };
}
