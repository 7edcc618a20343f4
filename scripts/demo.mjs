// npm run demo: from a fresh clone to a trained adapter on a real model. Only Node's own modules
// until `npm ci` has run.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.resolve(import.meta.dirname, '..');
const workspace = path.join(root, 'demo');
const cli = path.join(root, 'dist', 'cli.js');
const steps = 6;
let current = 0;

const started = performance.now();
function step(title) {
  console.log(
    `\n[${++current}/${steps}] ${title}  (${Math.round((performance.now() - started) / 1000)} s)`,
  );
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (error || status !== 0) {
    console.error(
      `\n${[command, ...args].join(' ')} failed${error ? `: ${error.message}` : ` with exit code ${status}`}.`,
    );
    process.exit(status || 1);
  }
}

/** Runs a command of the command line with --json; gives its last object. */
async function lora(args, onLine = () => {}) {
  const child = spawn(process.execPath, [cli, ...args, '--json'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
  let last;
  for await (const line of createInterface({ input: child.stdout }))
    onLine((last = JSON.parse(line)));
  const code = await exited;
  if (code !== 0) process.exit(code || 1);
  return last;
}

function dependenciesAreCurrent() {
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  return (
    existsSync(installed) &&
    statSync(installed).mtimeMs >= statSync(path.join(root, 'package-lock.json')).mtimeMs
  );
}

/** demo/: the folder to open in VS Code, with the recipe, the data and, after training, the run. */
function makeWorkspace(base) {
  const example = path.join(root, 'examples', 'git-commands');
  mkdirSync(workspace, { recursive: true });
  for (const file of ['train.jsonl', 'validation.jsonl'])
    cpSync(path.join(example, file), path.join(workspace, file));
  const recipe = JSON.parse(readFileSync(path.join(example, 'lora.json'), 'utf8'));
  const file = path.join(workspace, 'lora.json');
  writeFileSync(file, `${JSON.stringify({ ...recipe, base }, null, 2)}\n`);
  return file;
}

const percent = (part, whole) => `${part} of ${whole} (${Math.round((100 * part) / whole)} %)`;

function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows
    .map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i])).join('   ')}`)
    .join('\n');
}

/**
 * One line that is written over while training, or a line now and then where there is no terminal.
 */
function showTraining() {
  let lastShown = 0;
  return (line) => {
    if (line.kind === 'sample' && line.step === 0) return;
    if (line.kind === 'eval')
      console.log(
        `${process.stdout.isTTY ? '\r\x1b[K' : ''}  step ${line.step}: held-out loss ${line.loss.toFixed(3)}`,
      );
    if (line.kind !== 'step') return;
    const text = `  step ${line.step}  loss ${line.loss.toFixed(3)}  ${Math.round(line.tokens_per_second)} tokens/s  ${(line.memory / 2 ** 30).toFixed(2)} GiB`;
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`);
    else if (line.step - lastShown >= 20) (console.log(text), (lastShown = line.step));
  };
}

step('Install the libraries (npm ci)');
if (dependenciesAreCurrent()) console.log('  already there');
else run('npm', ['ci', '--no-audit', '--no-fund']);

step('Build; compile the binding; install libtensorflow (230 MB, once)');
run(process.execPath, [path.join(root, 'scripts', 'build.mjs')]);

step('Fetch SmolLM2-135M-Instruct (93 MB, once)');
const { smollm2Path } = await import('./models.mjs');
const base = await smollm2Path((line) => console.log(`  ${line}`));
console.log(`  ${base}`);
const recipe = makeWorkspace(base);

step('Ask the base model the held-out questions');
const heldOut = [
  '--dataset',
  path.join(workspace, 'validation.jsonl'),
  '--exact',
  '--max-new-tokens',
  '24',
];
const before = await lora(['evaluate', '--base', base, ...heldOut]);
console.log(`  exact answers: ${percent(before.exact, before.examples)}`);

step('Train a LoRA adapter: plain words to a git command');
const trained = await lora(['train', recipe], showTraining());
if (process.stdout.isTTY) console.log();

step('Ask the held-out questions again, with the adapter');
const adapter = path.join(trained.run_dir, 'adapter');
const after = await lora(['evaluate', '--base', base, '--adapter', adapter, ...heldOut]);

console.log(
  `\n${table([
    ['', 'base model', 'with the adapter'],
    ['held-out loss', before.loss.toFixed(3), after.loss.toFixed(3)],
    [
      'exact answers right',
      percent(before.exact, before.examples),
      percent(after.exact, after.examples),
    ],
  ])}`,
);
for (const answer of after.answers.slice(0, 3))
  console.log(`\n  ${answer.prompt}\n    ${answer.completion}`);
console.log(`
The adapter (PEFT's files):  ${path.relative(process.cwd(), adapter)}
Try it:                      npm run --silent lora -- generate --base ${base} --adapter ${path.relative(process.cwd(), adapter)} --chat --prompt "undo my last commit but keep the changes"
In VS Code:                  npm run package, install the .vsix, then: code demo
                             The LoRA view shows this run; open it for its dashboard, or edit demo/lora.json and run it again.
Done in ${Math.round((performance.now() - started) / 1000)} s.`);
