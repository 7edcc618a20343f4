// The recipe's editor, the numbers in the dashboard, and folders that cannot be written.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  formatLoss,
  hoverShows,
  LIMIT,
  openFile,
  packageVsix,
  palette,
  saveAs,
  until,
} from './page.mjs';
import {
  endEngines,
  installWorkbench,
  makeWorkspace,
  root,
  runsOf,
  runtimeFolder,
} from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('recipe editor and dashboard', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const inWorkspace = (...parts) => path.join(workspace, ...parts);
  const newestRun = () => runsOf(workspace).at(-1);
  const stepsOf = (run) => run?.metrics.filter((line) => line.kind === 'step') ?? [];
  const dashboard = () => d.webview(page);
  const pageText = () => dashboard().locator('body').innerText();
  const button = (name) => dashboard().locator('vscode-button:visible', { hasText: name });
  const shot = (name) => d.screenshot(page, path.join(shots, `${name}.png`));
  let server, browser, page;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: {
        'lora.runtime.path': runtimeFolder(),
        'files.watcherExclude': { '**/.lora/**': true },
      }, // no file watcher reports changes of the runs
    });
    ({ browser, page } = await d.openPage(server));
    await d.openView(page, 'LoRA');
    await d.treeRow(page, 'Runs', 'Train Adapter…').waitFor();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    endEngines(workspace);
  });
  // shows the state in which a test failed
  afterEach((test) => shot(`details-${test.name.slice(0, 20).replace(/\W+/g, '-')}`));

  it('completes a key of the recipe, and describes it on hover', async () => {
    writeFileSync(
      inWorkspace('edit.lora.json'),
      '{\n  "base": "models/tiny",\n  "dataset": "data/train.jsonl",\n  \n}\n',
    );
    await openFile(page, 'edit.lora.json');
    await page.locator('.view-line', { hasText: 'dataset' }).first().click();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('End');
    // the list shows its first rows only
    const suggestion = page.locator('.suggest-widget.visible .monaco-list-row', {
      hasText: 'chats',
    });
    await until(async () => {
      await page.keyboard.press('Control+Space'); // the JSON language server may still be starting
      return suggestion
        .first()
        .waitFor({ timeout: 10_000 })
        .then(
          () => true,
          () => page.keyboard.press('Escape').then(() => false),
        );
    }, 'a list with chats');
    await shot('completion');
    await page.keyboard.type('traini');
    await page
      .locator('.suggest-widget.visible .monaco-list-row.focused', { hasText: 'training' })
      .waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.view-line', { hasText: '"training": {' }).waitFor();
    const key = page.locator('.view-line span', { hasText: '"training"' }).last();
    await hoverShows(page, key, 'The training run.');
    await shot('hover');
    await page.keyboard.press('Control+k');
    await page.keyboard.press('s'); // Save All: the next file then replaces this one
    await page.keyboard.press('Escape');
  });

  it('refuses to run a recipe with a misspelled key, suggests the nearest one, and opens its line', async () => {
    writeFileSync(
      inWorkspace('wrong.lora.json'),
      '{\n  "base": "models/tiny",\n  "dataset": "data/train.jsonl",\n  "training": {\n    "learing_rate": 0.1\n  }\n}\n',
    );
    await openFile(page, 'wrong.lora.json');
    await page.locator('.squiggly-error').first().waitFor();
    const key = page.locator('.view-line span', { hasText: '"learing_rate"' }).last();
    await hoverShows(page, key, 'Did you mean "learning_rate"');
    await page.locator('.editor-actions .action-label[aria-label^="Run Recipe"]').click();
    const [notification] = await d.notifications(page, /learing_rate/);
    assert.match(notification.text, /Did you mean "learning_rate"/);
    assert.equal(notification.buttons[0], 'Open wrong.lora.json:5');
    await shot('refused');
    await page
      .locator('.notification-list-item')
      .getByRole('button', { name: 'Open wrong.lora.json:5' })
      .click();
    await page.locator('.statusbar-item', { hasText: 'Ln 5, Col 5' }).waitFor();
    assert.deepEqual(runsOf(workspace), []);
  });

  it('reports that the run folder cannot be created, and starts no run', async () => {
    writeFileSync(
      inWorkspace('short.lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 2 },
        training: { max_steps: 6 },
      }),
    );
    await openFile(page, 'short.lora.json');
    symlinkSync('/sys', inWorkspace('.lora')); // runs are not stored behind a link
    await palette(page, 'LoRA: Run Recipe');
    const [notification] = await d.notifications(page, /Runs cannot be stored/);
    assert.match(notification.text, /\.lora\/runs: .+\. Make the folder writable/);
    await shot('read-only');
    await page.locator('.statusbar-item', { hasText: 'Starting' }).waitFor({ state: 'hidden' });
    assert.equal(await page.locator('.tab', { hasText: 'train on tiny' }).count(), 0);
    rmSync(inWorkspace('.lora'));
    assert.deepEqual(runsOf(workspace), []);
  });

  it('follows a run without a file watcher, and catches up after it was hidden', async () => {
    writeFileSync(
      inWorkspace('moving.lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 2 },
        training: {
          max_steps: 500_000,
          per_device_train_batch_size: 2,
          eval_steps: 100,
          save_steps: 100,
        },
        samples: { sample_steps: 0 },
      }),
    );
    await openFile(page, 'moving.lora.json');
    await palette(page, 'LoRA: Run Recipe');
    await until(() => stepsOf(newestRun()).length > 20, 'steps');
    const shownStep = async () =>
      Number(/Step ([\d,]+) of/.exec(await pageText())?.[1].replaceAll(',', '') ?? 0);
    const first = await until(shownStep, 'a step on the page');
    await until(async () => (await shownStep()) > first, 'a later step on the page');
    await openFile(page, 'moving.lora.json'); // hides the panel
    const hidden = stepsOf(newestRun()).length;
    await until(
      () => stepsOf(newestRun()).length > hidden + 100,
      'steps while the panel is hidden',
    );
    await page.locator('.tab', { hasText: 'train on tiny' }).click();
    await until(async () => (await shownStep()) > hidden + 100, 'these steps on the page');
    await button('Stop').click();
    await until(() => newestRun().record.state === 'stopped', 'the stop');
    const last = stepsOf(newestRun()).at(-1);
    await until(
      async () =>
        (await shownStep()) === last.step && (await pageText()).includes(formatLoss(last.loss)),
      'the last step and its loss',
    );
  });

  it('exports every step as CSV', async () => {
    const file = inWorkspace('out.csv');
    await button('Export CSV').click();
    await saveAs(page, file);
    const rows = (await until(() => existsSync(file) && readFileSync(file, 'utf8'), 'the file'))
      .trim()
      .split('\n');
    const [names, ...values] = rows.map((line) => line.split(','));
    assert.deepEqual(
      values
        .filter((cells) => cells[names.indexOf('loss')])
        .map((cells) => [
          Number(cells[names.indexOf('step')]),
          Number(cells[names.indexOf('loss')]),
        ]),
      stepsOf(newestRun()).map(({ step, loss }) => [step, loss]),
    );
  });

  it('keeps a zoom range drawn with the mouse when the window is reloaded', async () => {
    const box = await dashboard().locator('canvas').first().boundingBox();
    await page.mouse.move(box.x + box.width / 3, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 80, { steps: 4 });
    await page.mouse.up();
    const range = await dashboard().locator('.zoom-text:visible').innerText();
    assert.match(range, /^Steps [\d,]+ to [\d,]+$/);
    await d.stateSaved(page, '"zoom":{"from":');
    await page.reload();
    await dashboard().locator('.zoom-text:visible', { hasText: range }).waitFor();
    await shot('zoomed');
    await dashboard().locator('canvas').first().focus();
    await page.keyboard.press('Escape');
    await dashboard().locator('.zoom-text').waitFor({ state: 'hidden' });
  });
});
