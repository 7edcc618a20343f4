// npm run bench:generate -- --base FILE.gguf: a prompt and an answer, in turns with llama.cpp
// (llama-cpp-python) on the same file with as many threads; medians of rounds, the processor's time
// of a token, and the shares of what the machine can read and multiply, measured in each round.
// --forms names what of the base is kept: quantized, bfloat16, float32. --types Q4_0,Q8_0,F16:
// the same for files of these types, which llama.cpp makes of FILE.gguf; F16 is kept in bfloat16.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { programPath } from '../../scripts/programs.mjs';
import { cache, measure, median, ourProgram } from './ours.mjs';

const { values: args } = parseArgs({
  options: {
    base: { type: 'string' },
    forms: { type: 'string' },
    types: { type: 'string' },
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
  const venv = path.join(cache, 'llama-venv');
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
const program = path.join(import.meta.dirname, 'generate.py');
const threads = ['--threads', availableParallelism()];

/** The base as a file of a type of llama.cpp, made once. */
function fileOf(type) {
  if (args.base.endsWith(`.${type}.gguf`)) return args.base;
  const folder = process.env.LORA_BENCH_FILES ?? path.join(cache, 'bench');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${path.basename(args.base, '.gguf')}.${type}.gguf`);
  if (!existsSync(file))
    measure(python, [program, '--base', args.base, '--type', type, '--out', file]);
  return file;
}

/** What is measured of a file: functions by the names of the rows. */
function runsOf(file, forms) {
  const shape = ['--base', file, '--prompt', args.prompt, '--tokens', args.tokens];
  const own = (form) => [
    [form, () => ours([...shape, '--form', form])],
    [
      `${form}, ${args.streams} streams`,
      () => ours([...shape, '--form', form, '--streams', args.streams]),
    ],
  ];
  return {
    'llama.cpp': () => measure(python, [program, ...shape, ...threads]),
    ...Object.fromEntries(forms.flatMap(own)),
  };
}

/** The median of a key, or NaN where it is not measured. */
const of = (results, key) => median(results.map((one) => one[key] ?? NaN));

function compare(title, file, forms) {
  const runs = {
    // what can be read of memory, by numpy, and multiplied in bf16, by oneDNN
    limits: () => ({
      ...measure(python, [program, '--limits', ...threads]),
      ...ours(['--base', file, '--limits']),
    }),
    ...runsOf(file, forms),
  };
  const measured = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
  for (let round = 0; round < Number(args.rounds); round++)
    for (const [name, run] of Object.entries(runs)) {
      measured[name].push(run());
      console.error(title, name, JSON.stringify(measured[name].at(-1)));
    }
  const { limits, ...rows } = measured;
  const [read, multiplied, products] = ['read_gb_s', 'multiply_g_s', 'products'].map((key) =>
    of(limits, key),
  );
  const bytes = statSync(file).size;
  console.log(
    `\n${title}: ${(bytes / 1e6).toFixed(0)} MB; the machine reads ${read.toFixed(1)} GB/s and multiplies ${multiplied.toFixed(0)} billion pairs in bf16 a second; load ${loadavg()[0].toFixed(1)}\n`,
  );
  console.log(
    '| | prompt, tokens/s | of the products | answer, tokens/s | of the reading | processor, ms a token | memory, MB |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [name, results] of Object.entries(rows)) {
    const [prompt, tokens] = [of(results, 'prompt'), of(results, 'tokens')];
    const streams = name.includes('streams') ? Number(args.streams) : 1;
    const cells = [
      prompt.toFixed(0),
      ((prompt * products) / 1e9 / multiplied).toFixed(2),
      tokens.toFixed(1),
      (((tokens / streams) * bytes) / 1e9 / read).toFixed(2),
      of(results, 'token_cpu_ms').toFixed(1),
      of(results, 'memory').toFixed(0),
    ];
    console.log(`| ${[name, ...cells].join(' | ')} |`);
  }
}

if (args.types === undefined)
  compare(path.basename(args.base), args.base, (args.forms ?? 'quantized,bfloat16').split(','));
else
  for (const type of args.types.split(',')) {
    const usual = type === 'F16' ? 'bfloat16' : 'quantized';
    compare(type, fileOf(type), (args.forms ?? usual).split(','));
  }
