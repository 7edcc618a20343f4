// Features beside the main task, in one window, with mouse and keyboard: workspace trust, the
// wizard's Back button, the recipe's editor, the rows of the Runs view, the dashboard's controls.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import * as d from './drive.mjs';
import {
  chooseInSubmenu,
  contentsOf,
  formatLoss,
  LIMIT,
  openFile,
  packageVsix,
  palette,
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
const long = { max_steps: 500_000, per_device_train_batch_size: 2, eval_steps: 20, save_steps: 20 };

const { visibleControls } = await tsImport('../../src/shared/plainText.ts', import.meta.url);

describe('beside the main task', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const inWorkspace = (...parts) => path.join(workspace, ...parts);
  const firstRun = () => runsOf(workspace)[0];
  const newestRun = () => runsOf(workspace).at(-1);
  const steps = (run) => run.metrics.filter((line) => line.kind === 'step');
  const shot = (name) => d.screenshot(page, path.join(shots, `${name}.png`));
  const writeRecipe = (file, training, rest = {}) =>
    writeFileSync(
      inWorkspace(file),
      JSON.stringify(
        { base: 'models/tiny', dataset: 'data/train.jsonl', lora: { r: 2 }, training, ...rest },
        null,
        2,
      ),
    );
  const row = (at) =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row')
      .nth(at);
  const dashboard = () => d.webview(page);
  const button = (name) => dashboard().locator('vscode-button:visible', { hasText: name });
  let server, browser, page;

  /** Starts a run on the command line, and stops it there. */
  const trainInTerminal = async (file) => {
    const child = spawn(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', inWorkspace(file)],
      { stdio: 'ignore' },
    );
    const exited = new Promise((ok) => child.on('exit', ok));
    await until(() => firstRun() && steps(firstRun()).length > 25, 'steps of a run in a terminal');
    child.kill('SIGINT');
    await exited;
    assert.equal(firstRun().record.state, 'stopped');
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeRecipe('first.lora.json', long, {
      samples: { prompts: ['say one'], sample_steps: 20, max_new_tokens: 4 },
    });
    await trainInTerminal('first.lora.json');
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      trusted: false,
      settings: {
        'lora.runtime.path': runtimeFolder(),
        'files.watcherExclude': { '**/.lora/**': true },
      },
    });
    ({ browser, page } = await d.openPage(server));
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await d.openView(page, 'LoRA');
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    endEngines(workspace);
  });

  // shows the state in which a test failed
  afterEach((test) => shot(`at-${test.name.slice(0, 14).replace(/\W+/g, '-')}`));

  it('an untrusted workspace shows runs and a warning, and nothing is started or written', async () => {
    await row(0).waitFor();
    const before = contentsOf(workspace);
    await openFile(page, 'train.jsonl');
    await page.waitForTimeout(2_000); // in a trusted workspace, its rows would be read by now
    assert.equal(await page.locator('.statusbar-item', { hasText: /examples/ }).count(), 0);
    await row(0).click();
    const { loss } = steps(firstRun()).at(-1);
    await until(
      async () => (await dashboard().locator('body').innerText()).includes(formatLoss(loss)),
      'the loss in the dashboard',
    );
    await page.locator('.pane .message', { hasText: 'not trusted' }).waitFor();
    await shot('untrusted');
    await button('Resume Run').click();
    await d.notifications(page, /not trusted/);
    await shot('untrusted-refusal');
    await page.keyboard.press('F1');
    await page.locator('.quick-input-widget input[type=text]').fill('>LoRA Run');
    await page
      .locator('.quick-input-list .monaco-list-row', { hasText: 'LoRA Run: Open Dashboard' })
      .waitFor();
    const offered = await d.quickPickItems(page);
    assert.deepEqual(
      offered.filter((label) => /Train Adapter|Run Recipe|Resume|Delete|Runtime/.test(label)),
      [],
    );
    await page.keyboard.press('Escape');
    assert.deepEqual(contentsOf(workspace), before);
  });

  it('trusting the workspace removes the warning, and a stopped run can be resumed', async () => {
    await palette(page, 'Workspaces: Manage Workspace Trust');
    await page
      .locator('.workspace-trust-editor')
      .getByRole('button', { name: 'Trust', exact: true })
      .first()
      .click();
    const editor = page.locator('.workspace-trust-editor'); // it covers the other editors
    await until(async () => {
      await page.mouse.click(100, 600);
      return editor.waitFor({ state: 'hidden', timeout: 5_000 }).then(
        () => true,
        () => false,
      );
    }, 'the trust editor to close');
    await page.locator('.pane .message', { hasText: 'not trusted' }).waitFor({ state: 'hidden' });
    const before = steps(firstRun()).length;
    await row(0).hover();
    await row(0).locator('.action-label[aria-label^="Resume"]').click();
    await until(
      () => firstRun().record.state === 'running' && steps(firstRun()).length > before,
      'the resumed run',
    );
  });

  it('the status bar shows the run and opens its dashboard', async () => {
    await page.keyboard.press('Control+k');
    await page.keyboard.press('Control+w'); // all editors closed
    await page.locator('.tab', { hasText: 'train on tiny' }).waitFor({ state: 'hidden' });
    await page.locator('.statusbar-item', { hasText: 'train on tiny' }).first().click();
    await page.locator('.tab', { hasText: 'train on tiny' }).waitFor();
    await button('Stop').click();
    await until(() => firstRun().record.state === 'stopped', 'the stop');
  });

  it('a reopened panel shows the same run, its samples, and a table for each chart', async () => {
    await palette(page, 'View: Close All Editors');
    await page.locator('.tab').first().waitFor({ state: 'hidden' });
    await row(0).click();
    const { loss } = steps(firstRun()).at(-1);
    await until(
      async () => (await dashboard().locator('body').innerText()).includes(formatLoss(loss)),
      'the same loss',
    ).finally(() => shot('reopen'));
    const sample = firstRun().metrics.findLast((line) => line.kind === 'sample');
    await dashboard().locator('.sample .prompt', { hasText: sample.prompt }).first().waitFor();
    assert.ok(
      (await dashboard().locator('.sample').first().innerText()).includes(
        visibleControls(sample.completion.trim()) || 'nothing',
      ),
      sample.completion,
    );
    const tables = dashboard().getByRole('button', { name: /table/i });
    await until(
      async () => (await tables.count()) === (await dashboard().locator('canvas').count()),
      'a button for each chart',
    );
    await tables.first().click();
    await until(
      async () =>
        (await dashboard().locator('vscode-data-grid:visible').first().innerText()).includes(
          formatLoss(loss),
        ),
      'the loss in the table',
    );
    await shot('table');
  });

  it('every control of the dashboard can be reached with the keyboard, shows its focus, and responds to Enter', async () => {
    await dashboard()
      .locator('body')
      .click({ position: { x: 2, y: 2 } });
    const focused = () =>
      dashboard()
        .locator('body')
        .evaluate(() => {
          const host = document.activeElement;
          if (!host || host === document.body) return null;
          const outlines = [host, ...(host.shadowRoot?.querySelectorAll('*') ?? [])].map(
            (element) => getComputedStyle(element),
          );
          return {
            text: (host.innerText || host.getAttribute('aria-label') || host.id).trim(),
            marked: outlines.some(
              ({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && outlineWidth !== '0px',
            ),
          };
        });
    const reached = [];
    for (let i = 0; i < 70 && !/First Batch/.test(reached.at(-1)); i++) {
      await page.keyboard.press('Tab');
      const at = await focused();
      if (!at) continue;
      assert.ok(at.marked, `${at.text} shows no focus`);
      reached.push(at.text);
      if (/Reveal Adapter/.test(at.text)) await shot('focus-button');
    }
    for (const name of [
      'Resume Run',
      'Open Recipe',
      'Reveal Adapter',
      'Show Log',
      'smoothing',
      'Export CSV',
      'Loss',
      'Memory',
      'First Batch',
    ]) {
      assert.ok(
        reached.some((text) => text.includes(name)),
        `${name} was not reached: ${reached.join(', ')}`,
      );
    }
    await shot('focus');
    await until(async () => {
      await page.keyboard.press('Shift+Tab');
      return (await focused())?.text.includes('Open Recipe');
    }, 'the way back to Open Recipe');
    await page.keyboard.press('Enter');
    await page.locator('.tab.active', { hasText: 'first.lora.json' }).waitFor();
  });

  it("a run's context menu copies the adapter's path, opens its files and reveals them", async () => {
    const choose = (label) => chooseInSubmenu(page, row(0), 'Adapter', label);
    await choose('Copy Path');
    await until(
      async () =>
        (await page.evaluate(() => globalThis.navigator.clipboard.readText())) ===
        path.join(firstRun().dir, 'adapter'),
      'the path in the clipboard',
    );
    await choose('Open Configuration');
    await page.locator('.tab.active', { hasText: /adapter_config\.json|README/ }).waitFor();
    await choose('Reveal in Explorer');
    await page
      .locator('.explorer-folders-view .monaco-list-row', { hasText: /^adapter/ })
      .first()
      .waitFor()
      .finally(() => shot('reveal'));
    await d.openView(page, 'LoRA');
  });

  it('the wizard goes forward and back with the keyboard only, and Escape writes nothing', async () => {
    const before = contentsOf(workspace);
    const title = (text) => page.locator('.quick-input-title', { hasText: text }).waitFor();
    const ready = () =>
      page
        .locator('.quick-input-widget .monaco-progress-container.done')
        .waitFor({ state: 'attached' });
    await palette(page, 'LoRA: Train Adapter');
    await title('Base');
    await page.locator('.quick-input-list .monaco-list-row.focused', { hasText: 'tiny' }).waitFor();
    await ready();
    await page.keyboard.press('Enter');
    await title('Dataset');
    await page.keyboard.press('Control+Alt+Minus'); // VS Code's key for Back on Linux
    await title('Base');
    await page.keyboard.press('Escape');
    await page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    assert.deepEqual(contentsOf(workspace), before);
  });

  it('a misspelled key in a recipe is marked and explained, and no run is started', async () => {
    writeFileSync(
      inWorkspace('wrong.lora.json'),
      '{\n  "base": "models/tiny",\n  "dataset": "data/train.jsonl",\n  "lora": { "rnak": 4 }\n}\n',
    );
    await openFile(page, 'wrong.lora.json');
    await page.locator('.squiggly-error').first().waitFor();
    await palette(page, 'LoRA: Run Recipe');
    const notifications = await d.notifications(page, /rnak/);
    assert.ok(
      notifications.some(({ text }) => /rnak.*(r|rank)/.test(text)),
      JSON.stringify(notifications),
    );
    await shot('misspelled');
    assert.equal(runsOf(workspace).length, 1);
  });

  it('a run whose engine was killed is shown as interrupted, and can be resumed', async () => {
    writeRecipe('killed.lora.json', long, { samples: { sample_steps: 0 } });
    await openFile(page, 'killed.lora.json');
    await palette(page, 'LoRA: Run Recipe');
    await until(() => runsOf(workspace).length === 2 && steps(newestRun()).length > 25, 'steps');
    process.kill(engineOf(newestRun()), 'SIGKILL');
    const interrupted = await until(
      async () =>
        (await d.treeItems(page, 'Runs')).find(({ description }) =>
          /interrupted/.test(description),
        ),
      'the interrupted run',
    );
    assert.match(interrupted.description, /^interrupted · .* · train on tiny$/);
    const last = steps(newestRun()).at(-1).step;
    const [notification] = await d.notifications(page, /ended unexpectedly/);
    assert.match(notification.text, new RegExp(`at step ${last}\\.`));
    assert.deepEqual(notification.buttons, ['Resume Run', 'Show Log']);
    await button('Resume Run').waitFor();
    await shot('interrupted');
    await row(0).hover();
    await row(0).locator('.action-label[aria-label^="Resume"]').click();
    await until(
      () =>
        newestRun().record.state === 'running' &&
        newestRun().metrics.some((line) => line.kind === 'resume'),
      'the resumed run',
    );
  });
});
