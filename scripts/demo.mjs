// npm run demo: from a fresh clone to a trained adapter on a real model. Only Node's own modules
// until the dependencies are installed.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { dependenciesAreInstalled, installDependencies, run } from './dependencies.mjs';

const root = path.resolve(import.meta.dirname, '..');
const workspace = path.join(root, 'demo');
const cli = path.join(root, 'dist', 'cli.js');
const steps = 6;
let current = 0;

const started = performance.now();
const secondsSoFar = () => Math.round((performance.now() - started) / 1000);

function step(title) {
  current++;
  console.log(`\n[${current}/${steps}] ${title}  (${secondsSoFar()} s)`);
}

/** Runs `lora ARGS --json`. Returns the last object; exits if the command fails. */
async function lora(args, onLine = () => {}) {
  const child = spawn(process.execPath, [cli, ...args, '--json'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', resolve);
  });
  let last;
  let incomplete = '';
  // node:readline would also split at U+2028, which a sample may contain
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    const lines = (incomplete + chunk).split('\n');
    incomplete = lines.pop();
    for (const text of lines) {
      last = JSON.parse(text);
      onLine(last);
    }
  }
  const code = await exited;
  if (code !== 0) process.exit(code || 1);
  return last;
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

/** One line that training overwrites; without a terminal, a line every 20 steps. */
function showTraining() {
  const isTerminal = process.stdout.isTTY;
  const clear = isTerminal ? '\r\x1b[K' : '';
  let lastShown = 0;
  return (line) => {
    if (line.kind === 'eval')
      console.log(`${clear}  step ${line.step}: held-out loss ${line.loss.toFixed(3)}`);
    if (line.kind !== 'step') return;
    const text = [
      `  step ${line.step}`,
      `loss ${line.loss.toFixed(3)}`,
      `${Math.round(line.tokens_per_second)} tokens/s`,
      `${(line.memory / 2 ** 30).toFixed(2)} GiB`,
    ].join('  ');
    if (isTerminal) {
      process.stdout.write(`${clear}${text}`);
    } else if (line.step - lastShown >= 20) {
      console.log(text);
      lastShown = line.step;
    }
  };
}

step('Install the dependencies (npm ci)');
if (dependenciesAreInstalled()) console.log('  already installed');
else if (!installDependencies()) process.exit(1);

step('Build; compile the binding; install libtensorflow (230 MB, once)');
if (!run(process.execPath, ['scripts/build.mjs']).ok) process.exit(1);

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
const shown = path.relative(process.cwd(), adapter);
const prompt = 'undo my last commit but keep the changes';
const attempt = `generate --base ${base} --adapter ${shown} --chat --prompt "${prompt}"`;
console.log(`
The adapter (PEFT's files):  ${shown}
Try it:                      npm run --silent lora -- ${attempt}
In VS Code:                  npm run package, install the .vsix, then: code demo
                             The LoRA view shows this run. Open it for its dashboard, or edit
                             demo/lora.json and run it again.
Done in ${secondsSoFar()} s.`);
