// npm run bench:activation: how long the extension takes to start in a real extension host with an
// idle window: to load its bundle, to run activate(), and until VS Code reports it as active.
// --rounds N.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runExtensionTests } from '../workbench/extensionTests.mjs';
import { installWorkbench, root } from '../workbench/workspace.mjs';

const { values: args } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const REST_MS = 8000;

/** The extension, with timers around loading its bundle and activate(). */
const folder = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
const times = path.join(folder, 'times.jsonl');
for (const name of ['package.json', 'package.nls.json', 'media', 'dist/lib', 'dist/webview'].filter(
  (name) => existsSync(path.join(root, name)),
))
  cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
mkdirSync(path.join(folder, 'dist'), { recursive: true });
const note = (what) =>
  `require('node:fs').appendFileSync(${JSON.stringify(times)}, JSON.stringify(${what}) + '\\n')`;
writeFileSync(
  path.join(folder, 'dist', 'extension.js'),
  `const loading = performance.now();
${readFileSync(path.join(root, 'dist', 'extension.js'), 'utf8')}
;const load = performance.now() - loading, own = module.exports;
module.exports = { ...own, activate(context) { const started = performance.now(); own.activate(context); ${note('{ load, activate: performance.now() - started }')}; } };`,
);
const test = path.join(folder, 'activation.cjs');
writeFileSync(
  test,
  `const { extensions } = require('vscode');
it('activates', async () => {
  // the start of the window uses all cores
  await new Promise((resolve) => setTimeout(resolve, ${REST_MS}));
  const extension = extensions.all.find(({ extensionPath }) => extensionPath === ${JSON.stringify(folder)});
  const started = performance.now();
  await extension.activate();
  ${note('{ whole: performance.now() - started }')};
});`,
);

const dir = installWorkbench();
for (let round = 0; round < Number(args.rounds); round++) {
  const workspace = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
  const { failed, output } = await runExtensionTests({
    dir,
    extensionDir: folder,
    workspace,
    files: [test],
    ui: 'bdd',
    testTimeout: 60_000,
    timeout: 120_000,
  });
  if (failed > 0) throw new Error(output);
}
const lines = readFileSync(times, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const own = lines
  .filter((line) => 'load' in line)
  .map(({ load, activate }) => load + activate)
  .sort((a, b) => a - b);
const whole = lines
  .filter((line) => 'whole' in line)
  .map((line) => line.whole)
  .sort((a, b) => a - b);
const summary = (values) =>
  `median ${values[values.length >> 1].toFixed(1)} ms, from ${values[0].toFixed(1)} to ${values.at(-1).toFixed(1)}`;
console.log(
  `the extension's file and activate(): ${summary(own)}\nuntil VS Code reports it as active: ${summary(whole)}  (${own.length} windows)`,
);
rmSync(folder, { recursive: true, force: true });
