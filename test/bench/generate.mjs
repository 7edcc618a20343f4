// npm run bench:generate -- --base FILE.gguf: a prompt and an answer, in turns with llama.cpp
// (llama-cpp-python) on the same file with as many threads; medians of rounds, and the processor's
// time of a token. --forms names what of the base is kept: quantized, bfloat16, float32.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism, homedir, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { programPath } from '../../scripts/programs.mjs';
import { measure, median, ourProgram } from './ours.mjs';

const { values: args } = parseArgs({
  options: {
    base: { type: 'string' },
    forms: { type: 'string', default: 'quantized,bfloat16' },
    prompt: { type: 'string', default: '256' },
    tokens: { type: 'string', default: '128' },
    streams: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    python: { type: 'string' },
  },
});
if (!args.base) throw new Error('Give a base: --base FILE.gguf.');

/** A Python environment with llama.cpp, compiled once for this processor. */
function llamaPython() {
  const venv = path.join(homedir(), '.cache', 'lora-workbench', 'llama-venv');
  const python = path.join(venv, 'bin', 'python');
  if (!existsSync(python)) {
    execFileSync(programPath('python3'), ['-m', 'venv', venv], { stdio: 'inherit' });
    execFileSync(path.join(venv, 'bin', 'pip'), ['install', '-q', 'llama-cpp-python==0.3.36'], {
      stdio: 'inherit',
    });
  }
  return python;
}

const python = args.python ?? llamaPython();
const ours = await ourProgram('test/bench/generate.ts');
const shape = ['--base', args.base, '--prompt', args.prompt, '--tokens', args.tokens];
const llama = [path.join(import.meta.dirname, 'generate.py'), ...shape];
const threads = ['--threads', availableParallelism()];
const runs = {
  'llama.cpp': () => measure(python, [...llama, ...threads]),
  ...Object.fromEntries(
    args.forms.split(',').flatMap((form) => [
      [form, () => ours([...shape, '--form', form])],
      [
        `${form}, ${args.streams} streams`,
        () => ours([...shape, '--form', form, '--streams', args.streams]),
      ],
    ]),
  ),
};

const measured = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
for (let round = 0; round < Number(args.rounds); round++)
  for (const [name, run] of Object.entries(runs)) {
    measured[name].push(run());
    console.error(name, JSON.stringify(measured[name].at(-1)));
  }
console.log(`load ${loadavg()[0].toFixed(1)}`);
console.log('| | prompt, tokens/s | answer, tokens/s | processor, ms a token | memory, MB |');
console.log('| --- | --- | --- | --- | --- |');
for (const [name, results] of Object.entries(measured)) {
  const of = (key, digits) => median(results.map((one) => one[key])).toFixed(digits);
  const cells = [of('prompt', 0), of('tokens', 1), of('token_cpu_ms', 1), of('memory', 0)];
  console.log(`| ${[name, ...cells].join(' | ')} |`);
}
