// npm run bench:starts: training of the real SmolLM2-135M, whose base is kept in bf16, int8 or NF4,
// from different values of A and B: random A and B = 0, PiSSA, and LoftQ. Rows are paragraphs of
// this repository's documentation, which the model has not read. Its weights in the file are Q4_1;
// they are dequantized to bf16 first, and these are what int8 and NF4 quantize.
//     --steps 60 --seeds 1,2 --rank 16 --learning-rate 2e-4 --starts bf16,int8,nf4,pissa,loftq-5
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { smollm2Path } from '../../scripts/models.mjs';
import { measure, root } from './ours.mjs';
import { peftPython } from './peft/python.mjs';

const { writeHalfBase } = await tsImport('./halfBase.ts', import.meta.url);
const { values: args } = parseArgs({
  options: {
    steps: { type: 'string', default: '60' },
    seeds: { type: 'string', default: '1,2' },
    rank: { type: 'string', default: '16' },
    'learning-rate': { type: 'string', default: '2e-4' },
    starts: { type: 'string', default: 'bf16,int8,nf4,pissa,loftq-1,loftq-5' },
  },
});
const [steps, rank, learning_rate] = [args.steps, args.rank, args['learning-rate']].map(Number);
const starts = args.starts.split(',');
const iterations = starts.flatMap((start) => /^loftq-(\d+)$/.exec(start)?.[1] ?? []);
const THIRD = Math.floor(steps / 3);
const PARAGRAPHS = { least: 200, most: 700 };
/** One in so many paragraphs validates. */
const VALIDATION = 12;

/** Paragraphs of the documentation, joined up to a length; tables are left out. */
function* texts() {
  const docs = path.join(root, 'docs');
  for (const name of readdirSync(docs).sort()) {
    if (!name.endsWith('.md')) continue;
    let text = '';
    for (const paragraph of readFileSync(path.join(docs, name), 'utf8').split('\n\n')) {
      if (paragraph.startsWith('|')) continue;
      text += `${text && '\n\n'}${paragraph}`;
      if (text.length < PARAGRAPHS.least) continue;
      yield JSON.stringify({ text: text.slice(0, PARAGRAPHS.most) });
      text = '';
    }
  }
}

const dir = mkdtempSync(path.join(tmpdir(), 'lora-starts-'));
const rows = [...texts()];
const isHeldOut = (_, i) => i % VALIDATION === 0;
const write = (name, own) => writeFileSync(path.join(dir, name), `${own.join('\n')}\n`);
write(
  'train.jsonl',
  rows.filter((...row) => !isHeldOut(...row)),
);
write('validation.jsonl', rows.filter(isHeldOut));

/** Trains, and gives the losses of the steps and those of the evaluations. */
function losses(name, seed, { base = path.join(dir, 'base'), lora = {}, quantize = null }) {
  const run = path.join(dir, `${name}-${seed}`);
  writeFileSync(
    `${run}.lora.json`,
    JSON.stringify({
      base,
      dataset: 'train.jsonl',
      validation: 'validation.jsonl',
      labels: 'all',
      lora: { r: rank, lora_alpha: rank, ...lora },
      training: {
        ...{ seed, learning_rate, quantize, base_dtype: 'bfloat16', max_length: 128 },
        ...{ max_steps: steps, eval_steps: THIRD, save_steps: steps + 1 },
      },
      samples: { sample_steps: 0 },
    }),
  );
  execFileSync(
    process.execPath,
    [path.join(root, 'dist', 'cli.js'), 'train', `${run}.lora.json`, '--run-dir', run],
    { stdio: 'pipe' },
  );
  const lines = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const own = lines.map((line) => JSON.parse(line));
  const of = (kind) => own.filter((line) => line.kind === kind).map(({ loss }) => loss);
  rmSync(run, { recursive: true });
  return { trained: of('step'), validated: of('eval') };
}

const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
const seeds = args.seeds.split(',').map(Number);

/** What a run has besides, and how much of the error of NF4's weights is left at its start. */
function settingsOf(start, errors) {
  if (start === 'bf16') return ['', {}];
  if (start === 'int8') return ['', { quantize: 'int8' }];
  if (start === 'nf4') return ['1', { quantize: 'nf4' }];
  if (start === 'pissa') return ['1', { quantize: 'nf4', lora: { init_lora_weights: 'pissa' } }];
  const folder = path.join(dir, start);
  const t = start.slice('loftq-'.length);
  // the first iteration quantizes the base as it is
  const base = path.join(t === '1' ? dir : folder, 'base');
  const lora = { init_adapter: path.join(folder, 'adapter') };
  return [errors[t].toFixed(3), { quantize: 'nf4', base, lora }];
}

/** A line of the table: the losses of each seed, one after the other. */
function row(name, error, settings) {
  const all = seeds.map((seed) => losses(name, seed, settings));
  const each = (of) => all.map((own) => of(own).toFixed(3)).join(', ');
  const cells = [
    ...[0, 1, 3].map((i) => each(({ validated }) => validated[i] ?? validated.at(-1))),
    ...[0, THIRD, steps - THIRD].map((from) =>
      each(({ trained }) => mean(trained.slice(from, from + THIRD))),
    ),
  ];
  console.log(`| ${[name, error, ...cells].join(' | ')} |`);
}

try {
  const python = peftPython();
  await writeHalfBase(await smollm2Path(), path.join(dir, 'base'));
  const errors = measure(python, [
    path.join(import.meta.dirname, 'peft', 'starts.py'),
    ...[dir, '--rank', rank, '--alpha', rank, '--iterations', iterations.join(',') || '1'],
  ]);
  console.log(`${rows.length} rows; learning rate ${learning_rate}, seeds ${args.seeds}\n`);
  const headings = [
    ...['base and start', "error of NF4's weights that is left"],
    ...[0, THIRD, steps].map((step) => `validation, step ${step}`),
    ...[0, THIRD, steps - THIRD].map((from) => `training, steps ${from + 1} to ${from + THIRD}`),
  ];
  console.log(`| ${headings.join(' | ')} |\n|${headings.map(() => '---').join('|')}|`);
  for (const start of starts) row(start, ...settingsOf(start, errors));
} finally {
  rmSync(dir, { recursive: true });
}
