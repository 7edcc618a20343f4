// npm run bench:dashboard: how long it takes in a real workbench from the click on a run of 100,000
// steps to its drawn dashboard. Each run is clicked once; the first click also makes the panel.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openWorkbench, until } from '../workbench/page.mjs';
import * as d from '../workbench/drive.mjs';
import { makeWorkspace } from '../workbench/workspace.mjs';

const [RUNS, STEPS, EVALUATIONS] = [6, 100_000, 200];
const workspace = makeWorkspace();

const record = (i) => ({
  version: 1,
  id: `run-${i}`,
  name: `run ${i}`,
  state: 'completed',
  created: new Date(1.7e12 + 6e4 * i).toISOString(),
  started: new Date(1.7e12 + 6e4 * i).toISOString(),
  ended: new Date(1.7e12 + 6e4 * i + 1000).toISOString(),
  recipe: {
    base: '/m',
    dataset: '/d.jsonl',
    lora: { r: i + 1, lora_alpha: 16, target_modules: 'all-linear' },
    samples: { sample_steps: 50 },
    training: {
      num_train_epochs: 3,
      max_grad_norm: 1,
      learning_rate: 2e-4,
      lr_scheduler_type: 'cosine',
    },
  },
  recipe_path: null,
  base: null,
  data: null,
  trainable_parameters: 1e6,
  total_steps: STEPS,
  versions: { extension: '0', node: '20', runtime: null, device: null },
  git_commit: null,
  result: {
    steps: STEPS,
    last_loss: 1,
    last_validation_loss: 1,
    best_validation_loss: 1,
    best_step: STEPS,
    adapter: null,
  },
  error: null,
});

function* lines() {
  for (let step = 1; step <= STEPS; step++) {
    yield {
      kind: 'step',
      step,
      epoch: (3 * step) / STEPS,
      loss: 1 + 2 * Math.exp((-6 * step) / STEPS) + 0.2 * Math.sin(step * 12.9898),
      grad_norm: 0.6 + 0.3 * Math.sin(step * 78.233),
      learning_rate: 1e-4 * (1 + Math.cos((Math.PI * step) / STEPS)),
      tokens: 800,
      labelled_tokens: 300,
      tokens_per_second: 380,
      memory: 2 ** 30 + step,
      elapsed: 2 * step,
    };
    if (step % (STEPS / EVALUATIONS) === 0)
      yield { kind: 'eval', step, loss: 1.2, labelled_tokens: 9, elapsed: 2 * step };
  }
}
const metrics = `${Array.from(lines(), (line) => JSON.stringify(line)).join('\n')}\n`;
for (let i = 0; i < RUNS; i++) {
  const dir = path.join(workspace, '.lora/runs', `run-${i}`);
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'run.json'), JSON.stringify(record(i)));
  writeFileSync(path.join(dir, 'metrics.jsonl'), metrics);
}

const { page, close } = await openWorkbench(workspace);
try {
  const rows = page
    .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
    .locator('.monaco-list-row');
  await until(async () => (await rows.count()) === RUNS, 'the runs');
  const seconds = [];
  for (let i = 0; i < RUNS; i++) {
    const name = `run ${RUNS - 1 - i}`;
    const started = performance.now();
    await rows.nth(i).click();
    const frame = d.webview(page);
    await frame.locator('h1', { hasText: name }).waitFor();
    await frame.locator('.chart-loss .plot:not(.no-values) canvas').waitFor();
    await frame
      .locator('body')
      .evaluate(
        () => new Promise((drawn) => window.requestAnimationFrame(() => setTimeout(drawn))),
      );
    seconds.push((performance.now() - started) / 1000);
  }
  const [first, ...others] = seconds;
  const median = others.sort((a, b) => a - b)[others.length >> 1];
  console.log(
    `from the click on a run of ${STEPS.toLocaleString('en')} steps to its dashboard: ` +
      `${first.toFixed(2)} s with the panel, then ${median.toFixed(2)} s`,
  );
} finally {
  await close();
}
