// node test/bench/preferences.mjs: steps of dpo beside TRL's DPOTrainer, in turns, as ratios of
// medians: 2 pairs of 256 tokens, the geometry of SmolLM2-135M, float32, two threads.
// --rounds N, --steps N; --python FILE: an environment with requirements-trl.txt.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { programPath } from '../../scripts/programs.mjs';
import { measure, median, ourTraining } from './ours.mjs';

const { values: args } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '3' },
    python: { type: 'string' },
  },
});
const folder = path.join(import.meta.dirname, 'peft');

/** A Python environment with TRL, created once. */
function trlPython() {
  const venv = path.join(homedir(), '.cache', 'lora-workbench', 'trl-venv');
  const python = path.join(venv, 'bin', 'python');
  if (!existsSync(python)) {
    execFileSync(programPath('python3'), ['-m', 'venv', venv], { stdio: 'inherit' });
    const requirements = path.join(folder, 'requirements-trl.txt');
    execFileSync(path.join(venv, 'bin', 'pip'), ['install', '-q', '-r', requirements], {
      stdio: 'inherit',
    });
  }
  return python;
}

const python = args.python ?? trlPython();
const train = await ourTraining();
const shape = ['--seq', '256', '--steps', args.steps, '--warmup', '1'];
const runs = {
  ours: () => train(['--batch', '4', '--supervised', '0.5', '--objective', 'dpo', ...shape]),
  sft: () => train(['--batch', '2', '--supervised', '0.5', ...shape]),
  trl: () => measure(python, [path.join(folder, 'dpo.py'), '--pairs', '2', ...shape]),
  precomputed: () =>
    measure(python, [path.join(folder, 'dpo.py'), '--pairs', '2', '--precompute', ...shape]),
};
const measured = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
for (let round = 0; round < Number(args.rounds); round++)
  for (const [name, run] of Object.entries(runs)) {
    measured[name].push(run());
    console.error(name, JSON.stringify(measured[name].at(-1)));
  }

const of = (name, key) => median(measured[name].map((run) => run[key]));
console.log(`load ${loadavg()[0].toFixed(1)} at the end`);
for (const name of Object.keys(runs))
  console.log(
    `${name.padEnd(12)} ${of(name, 'step_s').toFixed(2)} s a step (${of(name, 'step_cpu_s').toFixed(2)} s of the processor), peak ${of(name, 'peak_rss_mb').toFixed(0)} MB`,
  );
for (const name of ['trl', 'precomputed'])
  console.log(
    `beside ${name}: ${(of(name, 'step_s') / of('ours', 'step_s')).toFixed(2)} times its steps a second ` +
      `(${(of(name, 'step_cpu_s') / of('ours', 'step_cpu_s')).toFixed(2)} by processor time), ` +
      `${(of('ours', 'peak_rss_mb') / of(name, 'peak_rss_mb')).toFixed(2)} of its memory`,
  );
console.log(
  `a step of dpo takes ${(of('ours', 'step_s') / of('sft', 'step_s')).toFixed(2)} of sft`,
);
