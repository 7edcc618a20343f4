// node test/bench/sweep.mjs [STEPS]: wall time of a sweep of eight runs, one and two at a time.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const steps = Number(process.argv[2] ?? 100);
const folder = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
const recipe = path.join(folder, 'lora.json');
const chat = (i) => ({
  messages: [
    { role: 'user', content: `say ${i}` },
    { role: 'assistant', content: `number ${i}` },
  ],
});
const rows = Array.from({ length: 40 }, (_, i) => `${JSON.stringify(chat(i))}\n`);
writeFileSync(path.join(folder, 'data.jsonl'), rows.join(''));
writeFileSync(
  recipe,
  JSON.stringify({
    base: path.join(root, 'test/fixtures/llama/base'),
    dataset: 'data.jsonl',
    samples: { sample_steps: 0 },
    training: { max_steps: steps, base_dtype: 'float32' },
  }),
);

function seconds(parallel) {
  const start = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...[path.join(root, 'dist/cli.js'), 'sweep', recipe, '--parallel', String(parallel)],
      ...['--vary', 'lora.r=1,2,4,8', '--vary', 'training.learning_rate=1e-4,1e-3', '--json'],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  return (performance.now() - start) / 1000;
}

try {
  for (const parallel of [1, 2])
    console.log(`--parallel ${parallel}: ${seconds(parallel).toFixed(1)} s`);
} finally {
  rmSync(folder, { recursive: true });
}
