// npm run bench:methods: LoRA and full fine-tuning of the real SmolLM2-135M on the example's rows,
// and the same steps in PyTorch + PEFT, as one table.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { smollm2Path } from '../../scripts/models.mjs';
import { measure, median, root } from './ours.mjs';
import { peftPython } from './peft/python.mjs';

const example = path.join(root, 'examples', 'git-commands');
const recipe = JSON.parse(readFileSync(path.join(example, 'lora.json'), 'utf8'));
const base = await smollm2Path();
const python = peftPython();
const sizeOf = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0);
const mb = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

const METHODS = [
  [
    'LoRA, bf16 base',
    { method: 'lora', base_dtype: 'bfloat16' },
    ['--mode', 'lora', '--dtype', 'bf16'],
  ],
  ['LoRA, f32', { method: 'lora', base_dtype: 'float32' }, ['--mode', 'lora']],
  ['full, f32', { method: 'full', learning_rate: 5e-5 }, ['--mode', 'full']],
];
const TARGETS = 'q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj';
const { per_device_train_batch_size: batch, max_length } = recipe.training;

console.log(
  '| method | trained parameters | validation loss | training, s | tokens per second | memory, MB | result, MB | checkpoint, MB | PyTorch + PEFT: tokens per second | memory, MB |\n|---|---|---|---|---|---|---|---|---|---|',
);
for (const [name, training, theirs] of METHODS) {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-methods-'));
  try {
    const file = path.join(folder, 'lora.json');
    writeFileSync(
      file,
      JSON.stringify({
        ...recipe,
        base,
        dataset: path.join(example, 'train.jsonl'),
        validation: path.join(example, 'validation.jsonl'),
        samples: { sample_steps: 0 },
        training: { ...recipe.training, ...training, save_steps: 1000 },
      }),
    );
    const run = path.join(folder, 'run');
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', file, '--run-dir', run],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(stderr);
    const record = JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8'));
    const steps = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter((line) => line.kind === 'step');
    const [checkpoint] = readdirSync(path.join(run, 'checkpoints'));
    const torch = measure(python, [
      path.join(import.meta.dirname, 'peft', 'bench.py'),
      ...theirs,
      '--targets',
      TARGETS,
      '--rank',
      recipe.lora?.r ?? 8,
      '--batch',
      batch,
      '--seq',
      max_length,
      '--steps',
      3,
    ]);
    console.log(
      `| ${[
        name,
        record.trainable_parameters.toLocaleString('en'),
        record.result.best_validation_loss.toFixed(3),
        steps.at(-1).elapsed.toFixed(0),
        median(steps.slice(1).map((line) => line.tokens_per_second)).toFixed(0),
        mb(Math.max(...steps.map((line) => line.memory))),
        mb(sizeOf(path.join(run, record.result.model ?? record.result.adapter))),
        mb(sizeOf(path.join(run, 'checkpoints', checkpoint))),
        torch.tokens_per_s.toFixed(0),
        torch.peak_rss_mb.toFixed(0),
      ].join(' | ')} |`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}
