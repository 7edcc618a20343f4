// npm run bench:curves: 200 steps of the real SmolLM2-135M on text (the READMEs of this
// repository's dependencies), with the base in f32 and in bf16: how much the losses differ.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { smollm2Path } from '../../scripts/models.mjs';
import { root } from './ours.mjs';

const [FIRST, PIECE, MOST] = [200, 700, 4000];

function* pieces() {
  const modules = path.join(root, 'node_modules');
  for (const name of readdirSync(modules).sort()) {
    const file = path.join(modules, name, 'README.md');
    const text = existsSync(file) ? readFileSync(file, 'utf8').replaceAll('\r', '') : '';
    for (let at = FIRST; at + PIECE < text.length && at < MOST; at += PIECE)
      yield JSON.stringify({ text: text.slice(at, at + PIECE) });
  }
}

const dir = mkdtempSync(path.join(tmpdir(), 'lora-curves-'));
try {
  writeFileSync(path.join(dir, 'text.jsonl'), `${[...pieces()].join('\n')}\n`);
  const base = await smollm2Path();
  const [wide, half] = ['float32', 'bfloat16'].map((base_dtype) => {
    const recipe = path.join(dir, `${base_dtype}.lora.json`);
    writeFileSync(
      recipe,
      JSON.stringify({
        base,
        dataset: 'text.jsonl',
        labels: 'all',
        validation_split: 0.02,
        training: { max_steps: 200, base_dtype, max_length: 128, eval_steps: 50, save_steps: 1000 },
        samples: { sample_steps: 0 },
      }),
    );
    const run = path.join(dir, base_dtype);
    execFileSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', recipe, '--run-dir', run],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    return readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  });
  console.log('| | loss in f32 | in bf16 | apart |\n|---|---|---|---|');
  const row = (name, a, b) =>
    console.log(
      `| ${name} | ${a.toFixed(4)} | ${b.toFixed(4)} | ${(100 * Math.abs(b / a - 1)).toFixed(2)} % |`,
    );
  const losses = (lines, kind) =>
    lines.filter((line) => line.kind === kind).map((line) => line.loss);
  const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
  for (let at = 0; at < 200; at += 20)
    row(
      `steps ${at + 1} to ${at + 20}`,
      ...[wide, half].map((lines) => mean(losses(lines, 'step').slice(at, at + 20))),
    );
  losses(wide, 'eval').forEach((loss, i) =>
    row(`validation, step ${50 * i}`, loss, losses(half, 'eval')[i]),
  );
} finally {
  rmSync(dir, { recursive: true });
}
