// The main task in a real workbench, with the installed .vsix: from the welcome button to an
// adapter, watched in the dashboard.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  acceptInput,
  checkThemes,
  commandPick,
  formatLoss,
  LIMIT,
  openFile,
  packageVsix,
  readJson,
  until,
} from './page.mjs';
import {
  endEngines,
  engineOf,
  installWorkbench,
  makeWorkspace,
  root,
  runsOf,
  runtimeFolder,
} from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

const stateOf = (workspace) => runsOf(workspace).at(-1)?.record?.state;
const stepsOf = (workspace) =>
  (runsOf(workspace).at(-1)?.metrics ?? []).filter((line) => line.kind === 'step');

describe('training in the workbench', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let server, browser, page, errors, consoleLines;

  /** The errors, except code-server's failed request for a GitHub login. */
  const ownErrors = () =>
    errors.filter((line) => !line.includes("authentication provider 'github'"));

  before(async () => {
    mkdirSync(shots, { recursive: true });
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder() },
    });
    ({ browser, page, errors, consoleLines } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    endEngines(workspace);
  });

  afterEach((test) =>
    d.screenshot(page, path.join(shots, `at-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`)),
  ); // shows the state in which a test failed

  it('the LoRA view first names what it found to train', async () => {
    await d.openView(page, 'LoRA');
    await d.treeRow(page, 'Runs', 'Train tiny on train.jsonl').waitFor();
    const rows = await d.treeItems(page, 'Runs');
    assert.deepEqual(
      rows.map(({ label }) => label),
      ['Train tiny on train.jsonl', 'Train Adapter…', 'New to LoRA? Open the walkthrough'],
    );
    assert.equal(rows[0].description, '12 rows');
    await d.screenshot(page, path.join(shots, 'welcome.png'));
    await d.treeRow(page, 'Runs', 'Train tiny on train.jsonl').click();
    await page.locator('.quick-input-title', { hasText: 'Rank' }).waitFor();
    await page.keyboard.press('Escape');
    await d.treeRow(page, 'Runs', 'Train Adapter…').click();
  });

  it('asks for base, dataset, rank and targets, with a Back button, and writes lora.json', async () => {
    const title = (text) => page.locator('.quick-input-title', { hasText: text }).waitFor();
    const enterOn = async (label) => {
      await page
        .locator('.quick-input-list .monaco-list-row.focused', { hasText: label })
        .waitFor();
      await page
        .locator('.quick-input-widget .monaco-progress-container.done')
        .waitFor({ state: 'attached' });
      await page.keyboard.press('Enter');
    };
    await title('Base');
    await enterOn('tiny');
    await title('Dataset');
    await page.locator('.quick-input-titlebar .codicon-quick-input-back').click();
    await title('Base');
    await enterOn('tiny');
    await title('Dataset');
    await enterOn('train.jsonl');
    await title('Rank');
    await d.screenshot(page, path.join(shots, 'rank.png'));
    await enterOn('r = 4');
    await title('Target');
    await d.screenshot(page, path.join(shots, 'targets.png'));
    await enterOn('All linear layers');
    await title('Start');
    await page
      .locator('.quick-input-list .monaco-list-row', { hasText: '3 epochs, 9 steps, about' })
      .waitFor();
    await d.screenshot(page, path.join(shots, 'start.png'));
    await enterOn('Start Training');
    const recipe = await until(() => readJson(path.join(workspace, 'lora.json')), 'lora.json');
    assert.equal(path.normalize(recipe.base), path.join('models', 'tiny'));
    assert.equal(recipe.lora.r, 4);
  });

  it('opens the dashboard, trains to the end and shows the numbers of metrics.jsonl', async () => {
    await until(() => stateOf(workspace) === 'completed', 'the end of the run');
    const [run] = runsOf(workspace);
    for (const file of ['adapter_config.json', 'adapter_model.safetensors', 'README.md'])
      assert.ok(existsSync(path.join(run.dir, 'adapter', file)), file);
    const frame = d.webview(page);
    await frame.locator('canvas').first().waitFor();
    const last = stepsOf(workspace).at(-1);
    await until(
      async () => (await frame.locator('body').innerText()).includes(formatLoss(last.loss)),
      `the loss ${formatLoss(last.loss)} on the page`,
    );
    const colours = () =>
      frame
        .locator('canvas')
        .first()
        .evaluate((canvas) => {
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          const seen = new Set();
          for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
          return seen.size;
        });
    await until(async () => (await colours()) > 3, 'a chart with more than three colours');
  });

  it('shows the run in the Runs view with its rank and loss', async () => {
    await until(async () => {
      const [row] = await d.treeItems(page, 'Runs');
      return row?.icon === 'codicon-pass' && /^r4 · \d/.test(row.label);
    }, 'the completed run');
  });

  it('is accessible in four themes', async () => {
    await checkThemes(server, page, 'dashboard');
  });

  it('pauses, resumes, survives a reload of the window, and keeps the adapter when stopped', async () => {
    const file = path.join(workspace, 'long.lora.json');
    writeFileSync(
      file,
      JSON.stringify(
        {
          base: 'models/tiny',
          dataset: 'data/train.jsonl',
          lora: { r: 2 },
          training: {
            max_steps: 500_000,
            per_device_train_batch_size: 2,
            eval_steps: 5000,
            save_steps: 5000,
          },
          samples: { sample_steps: 0 },
        },
        null,
        2,
      ),
    );
    await openFile(page, 'long.lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    await until(
      () => runsOf(workspace).length === 2 && stepsOf(workspace).length > 3,
      'steps of the second run',
    );
    await page.locator('.statusbar-item', { hasText: 'train on tiny' }).first().waitFor();
    const engine = engineOf(runsOf(workspace)[1]);
    assert.ok(engine);
    const button = (name) =>
      d
        .webview(page)
        .getByRole('button', { name })
        .or(d.webview(page).locator('vscode-button', { hasText: name }))
        .first();
    await button('Pause').click();
    await until(() => stateOf(workspace) === 'paused', 'the pause');
    const paused = stepsOf(workspace).length;
    await button('Resume').click();
    await until(
      () => stateOf(workspace) === 'running' && stepsOf(workspace).length > paused,
      'the resumed run',
    );
    await d.stateSaved(page, path.basename(runsOf(workspace)[1].dir));
    assert.deepEqual(ownErrors(), []);
    await page.reload();
    await d.webview(page).locator('canvas').first().waitFor();
    errors.length = 0; // those of the workbench itself while the page is unloaded
    assert.equal(engineOf(runsOf(workspace)[1]), engine);
    const steps = stepsOf(workspace).map((line) => line.step);
    assert.deepEqual(
      steps,
      steps.map((_, i) => i + 1),
    );
    await button('Stop').click();
    await until(() => stateOf(workspace) === 'stopped', 'the stop');
    assert.ok(
      existsSync(path.join(runsOf(workspace)[1].dir, 'adapter', 'adapter_model.safetensors')),
    );
    await d.screenshot(page, path.join(shots, 'stopped.png'));
  });

  it('recognizes rows with labels, and shows the accuracy', async () => {
    cpSync(
      path.join(root, 'test', 'fixtures', 'bert', 'base'),
      path.join(workspace, 'models', 'encoder'),
      { recursive: true },
    );
    const colours = ['red', 'green', 'blue'];
    const rows = Array.from({ length: 30 }, (_, i) =>
      JSON.stringify({ text: `the ${colours[i % 3]} car ${i}`, label: colours[i % 3] }),
    );
    writeFileSync(path.join(workspace, 'data', 'labels.jsonl'), `${rows.join('\n')}\n`);
    const choose = async (step, label) => {
      await page.locator('.quick-input-title', { hasText: step }).waitFor();
      await page
        .locator('.quick-input-widget .monaco-progress-container.done')
        .waitFor({ state: 'attached' });
      await page.locator('.quick-input-list .monaco-list-row', { hasText: label }).first().click();
    };
    const before = runsOf(workspace).length;
    await d.runCommand(page, 'LoRA: Train Adapter');
    await choose('Base', 'encoder');
    await page.locator('.quick-input-list .monaco-list-row', { hasText: 'text labels' }).waitFor();
    await d.screenshot(page, path.join(shots, 'datasets.png'));
    await choose('Dataset', 'train.jsonl');
    const [refusal] = await d.notifications(page, /encoder can only be trained on text labels/);
    assert.match(refusal.text, /train\.jsonl contains text to generate/);
    await choose('Dataset', 'labels.jsonl');
    await choose('Rank', 'r = 4');
    await choose('Target', 'All linear layers');
    await choose('Recipe', 'Save as labels.lora.json');
    await choose('Start', 'Start Training');
    await until(
      () =>
        runsOf(workspace).length > before && runsOf(workspace).at(-1).record?.state === 'completed',
      'the end of the run',
    );
    const run = runsOf(workspace).at(-1);
    assert.equal(run.record.recipe.task, 'seq_cls');
    const { scores } = run.metrics.findLast((line) => line.kind === 'eval');
    const frame = d.webview(page);
    await until(
      async () =>
        (await frame.locator('.chart-score').innerText()).includes(formatLoss(scores.accuracy)),
      `the accuracy ${scores.accuracy} on the page`,
    );
    await d.screenshot(page, path.join(shots, 'labels.png'));
  });

  it('compares two adapters on a page and in the diff editor, resizes and converts one, and merges it into a verified model', async () => {
    // else the adapter of the active dashboard is compared
    await d.runCommand(page, 'View: Close All Editors');
    await page.locator('.tab').first().waitFor({ state: 'hidden' });
    await commandPick(
      page,
      'LoRA: Compare Adapters',
      ['adapter to compare', 'train on tiny'],
      ['compare train on tiny', 'train on tiny'],
    );
    await page.locator('.tab.active', { hasText: '↔' }).waitFor();
    const beside = d.webview(page);
    await beside.locator('.map td[data-level]').first().waitFor();
    const modules = await beside.locator('.map td[data-level]').count();
    assert.ok(modules > 2, `${modules} modules`);
    await beside.locator('.modules .sort', { hasText: '‖dW‖ A' }).click();
    await beside.locator('.modules th[aria-sort="descending"]').waitFor();
    assert.equal(await page.locator('.monaco-diff-editor').count(), 0);
    await checkThemes(server, page, 'compare', beside);
    await beside.locator('vscode-button', { hasText: 'Open as Text Diff' }).click();
    await page.locator('.tab.active', { hasText: /cosine/ }).waitFor();
    await page.locator('.monaco-diff-editor .view-line', { hasText: '‖dW‖' }).first().waitFor();
    await commandPick(
      page,
      'LoRA Adapter: Resize',
      ['adapter to resize', 'train on tiny'],
      ['how to determine the new rank', 'By maximum error'],
    );
    await page.locator('.quick-input-message', { hasText: 'from 0 to 1' }).waitFor();
    await page.locator('.quick-input-widget input[type=text]').press('Enter');
    await acceptInput(page, 'Output');
    const [resized] = await d.notifications(page, /Changed the rank from/);
    assert.match(resized.text, /with an error of [\d.]+\s?%: \d+ KiB instead of \d+ KiB/);
    await commandPick(
      page,
      'LoRA Adapter: Convert',
      ['to convert', 'train on tiny'],
      ['Select a format', 'llama.cpp'],
    );
    await acceptInput(page, 'Output');
    await d.notifications(page, /Converted the adapter for llama\.cpp/);
    const converted = readdirSync(workspace).find((name) => name.endsWith('.gguf'));
    assert.match(
      spawnSync(
        process.execPath,
        [path.join(root, 'dist', 'cli.js'), 'inspect', path.join(workspace, converted)],
        { encoding: 'utf8' },
      ).stdout,
      /LoRA adapter \(gguf\)/,
    );
    await commandPick(page, 'LoRA Adapter: Merge into Model', [
      'merge into its base',
      'train on tiny',
    ]);
    await acceptInput(page, 'Output');
    await page.locator('.tab.active', { hasText: 'merge.json' }).waitFor();
    const certificate = d.webview(page);
    await certificate.getByRole('heading', { name: 'tiny-train', exact: true }).waitFor();
    const [notification] = await d.notifications(page, /Merged: tiny-train/);
    assert.match(notification.text, /stored as in the base model.*Same top token .* at 100\s?%/);
    assert.deepEqual(notification.buttons, ['Try Model', 'Reveal in Explorer']);
    await certificate.locator('vscode-button', { hasText: 'Verify Files' }).click();
    await certificate.locator('td[data-state="same"]').first().waitFor();
    await checkThemes(server, page, 'certificate', certificate);
    await d.screenshot(page, path.join(shots, 'merged.png'));
    const { status, stdout } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'merge', '--verify', path.join(workspace, 'tiny-train')],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout);
  });

  it('asks for the column that a layers model learns, and writes a recipe that can be checked', async () => {
    writeLayersModel(path.join(workspace, 'net'));
    const rows = Array.from({ length: 8 }, (_, i) => `${i},${i + 1},${i % 2 ? 'a' : 'b'}`);
    writeFileSync(path.join(workspace, 'iris.csv'), ['width,height,species', ...rows].join('\n'));
    await d.runCommand(page, 'LoRA: Train Adapter');
    const choose = async (title, label) => {
      await page.locator('.quick-input-title', { hasText: title }).waitFor();
      await page.locator('.quick-input-list .monaco-list-row', { hasText: label }).first().click();
    };
    // the list still grows, and its rows move: no other one is left by this text
    await page.locator('.quick-input-title', { hasText: 'Base' }).waitFor();
    await page.locator('.quick-input-box input').fill('model.json');
    await choose('Base', 'model.json');
    await choose('Dataset', 'iris.csv');
    await choose('Columns', 'species');
    await choose('Rank', 'r = 1');
    await choose('Target', 'All layers but embeddings');
    await choose('Recipe', 'iris.lora.json');
    await choose('Start', 'Edit Recipe');
    const file = path.join(workspace, 'iris.lora.json');
    const recipe = await until(() => readJson(file), 'iris.lora.json');
    assert.deepEqual(
      [recipe.task, recipe.columns, path.normalize(recipe.base)],
      ['features', { label: 'species' }, path.join('net', 'model.json')],
    );
    const { status, stdout } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'check', file],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout);
  });

  it('logged no error and no violation of the content security policy', () => {
    assert.deepEqual(ownErrors(), []);
    assert.deepEqual(
      consoleLines.filter(
        (line) => /Content Security Policy/.test(line) && /lora|dashboard/i.test(line),
      ),
      [],
    );
  });
});

/** A layers model of TensorFlow.js with two numbers and two classes, of zeros. */
function writeLayersModel(folder) {
  mkdirSync(folder);
  const batch_input_shape = [null, 2];
  const config = { name: 'dense', units: 2, activation: 'softmax', batch_input_shape };
  const modelTopology = {
    class_name: 'Sequential',
    config: { layers: [{ class_name: 'Dense', config }] },
  };
  const weights = [
    { name: 'dense/kernel', shape: [2, 2], dtype: 'float32' },
    { name: 'dense/bias', shape: [2], dtype: 'float32' },
  ];
  writeFileSync(path.join(folder, 'weights.bin'), Buffer.alloc(24));
  const weightsManifest = [{ paths: ['weights.bin'], weights }];
  writeFileSync(
    path.join(folder, 'model.json'),
    JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest }),
  );
}
