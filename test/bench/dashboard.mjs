// npm run bench:dashboard: how long it takes in a real workbench from the click on a run of 100,000
// steps to its drawn dashboard, and until that knows all steps. Each run is clicked once; the first
// click also makes the panel.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openWorkbench, until } from '../workbench/page.mjs';
import * as d from '../workbench/drive.mjs';
import { makeWorkspace } from '../workbench/workspace.mjs';
import { median, processorSeconds } from './processorTime.mjs';

const [RUNS, STEPS, EVALUATIONS] = [8, 100_000, 200];
/** So that one click's work is not measured with the next one's. */
const REST_MS = 1000;

/** Runs in the page: the charts are drawn in the frame after the page. */
const twoFrames = () =>
  new Promise((drawn) =>
    window.requestAnimationFrame(() => window.requestAnimationFrame(() => setTimeout(drawn))),
  );

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
  const frame = d.webview(page);
  const clicks = [];
  for (let i = 0; i < RUNS; i++) {
    const [began, used] = [performance.now(), processorSeconds()];
    const since = () => [(performance.now() - began) / 1000, processorSeconds() - used];
    await rows.nth(i).click();
    await frame.locator('h1', { hasText: `run ${RUNS - 1 - i}` }).waitFor();
    await frame.locator('.chart-loss .plot:not(.no-values) canvas').waitFor();
    await frame.locator('body').evaluate(twoFrames);
    const drawn = since();
    // the mean over all steps is the last thing to come
    const smoothed = frame.locator('.chart-loss .key-entry', {
      has: frame.locator('.swatch-smoothed'),
    });
    await smoothed.filter({ hasText: /\d$/ }).waitFor();
    clicks.push({ drawn, complete: since() });
    await page.waitForTimeout(REST_MS);
  }
  const [first, ...others] = clicks;
  console.log(
    `Clicks on runs of ${STEPS.toLocaleString('en')} steps: seconds, and of the processor`,
  );
  for (const part of ['drawn', 'complete']) {
    const show = (numbers) => numbers.map((number) => number.toFixed(2)).join(' and ');
    const middle = [0, 1].map((k) => median(others.map((click) => click[part][k])));
    console.log(`${part}: ${show(first[part])} with a new panel, then ${show(middle)}`);
  }
} finally {
  await close();
}
