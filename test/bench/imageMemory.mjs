// npm run bench:images: the memory of a training on chats with images of 448 x 448 pixels, with the
// random weights of a Qwen3-VL of half a billion parameters: what `lora check` says of it, and the
// peak of the process. Linux only (/proc). --only WORD takes the lines whose names have it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { root } from '../support/root.mjs';

const { writeChats, writeImageModel } = await tsImport('./imageModel.ts', import.meta.url);
const { values: args } = parseArgs({
  options: { only: { type: 'string', default: '' }, rows: { type: 'string', default: '16' } },
});
const POLL_MS = 20;
const STEPS = 3;
const cli = path.join(root, 'dist', 'cli.js');
const dir = mkdtempSync(path.join(tmpdir(), 'lora-images-'));

const LANGUAGE = '.*language_model.*_proj';
const MERGER = '.*visual\\.merger\\.linear_fc\\d';
const CASES = [
  ['language model, bfloat16', LANGUAGE, 2, {}],
  ['language model, bfloat16', LANGUAGE, 4, {}],
  ['language model, float32', LANGUAGE, 2, { base_dtype: 'float32' }],
  ['language model, nf4', LANGUAGE, 2, { quantize: 'nf4' }],
  ['language model, checkpointing', LANGUAGE, 4, { gradient_checkpointing: true }],
  ['merger, bfloat16', MERGER, 2, {}],
  ['all-linear, bfloat16', 'all-linear', 2, {}],
  ['all-linear, bfloat16', 'all-linear', 4, {}],
  ['all-linear, float32', 'all-linear', 2, { base_dtype: 'float32' }],
  ['all-linear, checkpointing', 'all-linear', 4, { gradient_checkpointing: true }],
];

function recipeOf([, target_modules, rows, training], number) {
  const file = path.join(dir, `${number}.lora.json`);
  writeFileSync(
    file,
    JSON.stringify({
      base: 'model',
      dataset: 'rows.jsonl',
      validation_split: 0,
      lora: { r: 8, target_modules },
      training: {
        ...{ base_dtype: 'bfloat16', gradient_checkpointing: false, ...training },
        ...{ per_device_train_batch_size: rows, max_length: 1024 },
        ...{ max_steps: STEPS, save_steps: STEPS + 1 },
      },
      samples: { sample_steps: 0 },
    }),
  );
  return file;
}

/** What the check says of the recipe: rows, tokens and bytes. */
function estimateOf(recipe, { base_dtype = 'bfloat16', quantize, gradient_checkpointing = false }) {
  const { stdout } = spawnSync(process.execPath, [cli, 'check', recipe, '--json'], {
    encoding: 'utf8',
  });
  const { memory } = JSON.parse(stdout);
  const kept = memory.types.find((own) => own.base_dtype === (quantize ? 'quantized' : base_dtype));
  return { ...memory, bytes: gradient_checkpointing ? kept.recomputed_bytes : kept.bytes };
}

/** Trains, and gives the bytes at the peak and what the log says of the step. */
async function train(recipe, number) {
  const run = path.join(dir, `run-${number}`);
  const child = spawn(process.execPath, [cli, 'train', recipe, '--run-dir', run], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [peak, said] = [0, ''];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (said += text));
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // it has ended
    }
  }, POLL_MS);
  const [code] = await once(child, 'close');
  clearInterval(timer);
  if (code !== 0) throw new Error(said);
  rmSync(run, { recursive: true });
  return { peak, said };
}

try {
  await writeImageModel(path.join(dir, 'model'));
  writeChats(dir, Number(args.rows));
  console.log(
    '| trained, base | batch | estimated, MB | measured, MB | ratio |\n|---|---|---|---|---|',
  );
  for (const [number, own] of CASES.entries()) {
    const [name, , , training] = own;
    if (!name.includes(args.only)) continue;
    const recipe = recipeOf(own, number);
    const { rows, length, bytes } = estimateOf(recipe, training);
    const { peak, said } = await train(recipe, number);
    console.error(/A step needs about .*?memory/.exec(said)?.[0] ?? said);
    const cells = [
      name,
      `${rows} x ${length}`,
      ...[bytes, peak].map((n) => (n / 2 ** 20).toFixed(0)),
    ];
    console.log(`| ${[...cells, (bytes / peak).toFixed(2)].join(' | ')} |`);
  }
} finally {
  rmSync(dir, { recursive: true });
}
