// npm run bench:runs: how long the Runs view takes to read 1,000 runs, at first and after one of
// them has changed.
import { build } from 'esbuild';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const RUNS = 1_000;
const root = path.resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-runs-'));
const recordOf = (i) => ({
  version: 1,
  id: `run-${i}`,
  name: `run ${i}`,
  state: 'completed',
  created: new Date(1.7e12 + 6e4 * i).toISOString(),
  started: null,
  ended: null,
  recipe: {
    base: '/m',
    dataset: '/d.jsonl',
    lora: { r: 8, lora_alpha: 16, target_modules: 'all-linear' },
    samples: { sample_steps: 50 },
    training: {
      num_train_epochs: 3,
      max_grad_norm: 1,
      learning_rate: 2e-4,
      lr_scheduler_type: 'cosine',
    },
  },
  recipe_path: '/lora.json',
  base: null,
  data: null,
  trainable_parameters: 1e6,
  total_steps: 100,
  versions: { extension: '0', node: '20', runtime: null, device: null },
  git_commit: null,
  result: {
    steps: 100,
    last_loss: 1,
    last_validation_loss: 1,
    best_validation_loss: 1 + i / RUNS,
    best_step: 50,
    adapter: 'adapter',
  },
  error: null,
});
for (let i = 0; i < RUNS; i++) {
  const dir = path.join(folder, `run-${String(i).padStart(4, '0')}`);
  mkdirSync(dir);
  writeFileSync(path.join(dir, 'run.json'), JSON.stringify(recordOf(i)));
  writeFileSync(
    path.join(dir, 'metrics.jsonl'),
    `${JSON.stringify({ kind: 'step', step: 100, loss: 1 })}\n`,
  );
}
const { outputFiles } = await build({
  stdin: {
    contents:
      'export { RunStore } from "./src/host/runs/runStore"; export { treeRowOf } from "./src/host/runs/treeRow";',
    resolveDir: root,
  },
  bundle: true,
  write: false,
  platform: 'node',
  format: 'cjs',
  absWorkingDir: root,
  logLevel: 'error',
});
const module = { exports: {} };
new Function('module', 'exports', 'require', outputFiles[0].text)(
  module,
  module.exports,
  createRequire(import.meta.url),
);
const { RunStore, treeRowOf } = module.exports;
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

async function measure(act) {
  const times = [];
  for (let i = 0; i < 7; i++) times.push(await act(i));
  return median(times).toFixed(0);
}
const timed = async (act) => {
  const started = performance.now();
  await act();
  return performance.now() - started;
};
let store;
console.log(
  `${RUNS} runs, read and converted to rows: ${await measure(() =>
    timed(async () => {
      store?.dispose();
      store = new RunStore({ roots: () => [folder], mayConnect: () => false });
      await store.refresh();
      if (store.runs.map((run) => treeRowOf(run, Date.now())).length !== RUNS)
        throw new Error('Some runs are missing.');
    }),
  )} ms`,
);
console.log(
  `the same when one has changed: ${await measure((i) => {
    writeFileSync(
      path.join(folder, 'run-0500', 'run.json'),
      JSON.stringify({ ...recordOf(500), name: `changed ${i}` }),
    );
    return timed(() => store.refresh());
  })} ms`,
);
store.dispose();
rmSync(folder, { recursive: true });
