// npm run bench: our training beside PyTorch + PEFT's on the same geometry, alternately, medians, as ratios. --rounds N, --steps N, --supervised S.
import { build } from 'esbuild';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { smollm2Path } from '../../scripts/models.mjs';
import { peftPython } from './peft/python.mjs';

const { values: args } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, steps: { type: 'string', default: '3' }, supervised: { type: 'string', default: '1' } } });
const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const cache = path.join(homedir(), '.cache', 'lora-workbench');
const out = path.join(root, 'out', 'bench');

function measure(command, rest, env = {}) {
  const { status, stdout, stderr } = spawnSync(command, [...rest, '--steps', args.steps, '--supervised', args.supervised], { encoding: 'utf8', env: { ...process.env, ...env } });
  if (status !== 0) throw new Error(`${command} failed:\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

/** A run as a person starts it, on real weights in a quantised file: from the start of the process to the first step. */
function ourRealStart(base) {
  const dir = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
  try {
    writeFileSync(path.join(dir, 'lora.json'), JSON.stringify({
      base, dataset: path.join(root, 'examples', 'git-commands', 'train.jsonl'), validation_split: 0, lora: { r: 8, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
      training: { max_steps: 1 }, samples: { sample_steps: 0 },
    }));
    const run = path.join(dir, 'run');
    const start = Date.now();
    execFileSync(process.execPath, [path.join(root, 'dist', 'cli.js'), 'train', path.join(dir, 'lora.json'), '--run-dir', run], { stdio: ['ignore', 'ignore', 'inherit'] });
    return (Date.parse(JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8')).started) - start) / 1000;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

await build({ absWorkingDir: root, entryPoints: ['test/bench/train.ts'], outdir: out, bundle: true, platform: 'node', format: 'cjs', logLevel: 'warning' });
const home = process.env.LORA_RUNTIME_HOME ?? path.join(cache, 'runtime');
const { findRuntime } = await bundled('src/runtime/findRuntime.ts');
const runtime = await findRuntime({ dist: path.join(root, 'dist'), home });
const python = peftPython();
const gguf = await smollm2Path();
const [ours, peft] = [[], []];
for (let round = 0; round < Number(args.rounds); round++) {
  ours.push(measure(process.execPath, [path.join(out, 'train.js'), '--tfjs', path.join(root, 'dist', 'tfjs-node.js')], { LORA_TFJS_BINDING: runtime.binding, TF_CPP_MIN_LOG_LEVEL: '2', TF_ENABLE_ONEDNN_OPTS: '1' }));
  ours.at(-1).real_start_s = ourRealStart(gguf);
  peft.push(measure(python, [path.join(here, 'peft', 'bench.py')]));
  peft.at(-1).real_start_s = measure(python, [path.join(here, 'peft', 'bench.py'), '--gguf', gguf]).start_s;
  console.error(`round ${round + 1}: ${ours.at(-1).tokens_per_s.toFixed(0)} and ${peft.at(-1).tokens_per_s.toFixed(0)} tokens/s`);
}

async function bundled(file) {
  const outfile = path.join(out, `${path.basename(file, '.ts')}.cjs`);
  await build({ absWorkingDir: root, entryPoints: [file], outfile, bundle: true, platform: 'node', format: 'cjs', logLevel: 'warning' });
  return (await import(outfile)).default;
}

const rows = [['tokens per second', 'tokens_per_s', 0], ['peak memory, MB', 'peak_rss_mb', 0], 
  ['start of the process to the first step, random weights, s', 'start_s', 2], ['the same from the real .gguf file and a dataset, s', 'real_start_s', 2]];
console.log(`${cpus()[0].model}, ${cpus().length} cores; f32, batch 4 x 256, r = 8 on q, k, v, o; labelled ${args.supervised}; median of ${args.rounds}\n`);
console.log('| | LoRA Workbench | PyTorch + PEFT | ratio |\n|---|---|---|---|');
for (const [name, key, digits] of rows) {
  const [a, b] = [median(ours.map((r) => r[key])), median(peft.map((r) => r[key]))];
  console.log(`| ${name} | ${a.toFixed(digits)} | ${b.toFixed(digits)} | ${(a / b).toFixed(2)} |`);
}
