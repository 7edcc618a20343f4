// One run, shown in and controlled from two windows, in a real workbench.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import { chooseInMenu, LIMIT, openFile, packageVsix, palette, until } from './page.mjs';
import {
  endEngines,
  installWorkbench,
  makeWorkspace,
  root,
  runsOf,
  runtimeFolder,
} from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('two windows on one run', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const [windows, browsers] = [[], []];
  let server;
  const row = (page) =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row')
      .first();
  const shownStep = async (page) => {
    const facts = await d.webview(page).locator('.facts').innerText();
    return Number(/Step ([\d,]+) of/.exec(facts)?.[1].replaceAll(',', '') ?? 0);
  };
  const description = async (page) => (await d.treeItems(page, 'Runs'))[0]?.description ?? '';

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeFileSync(
      path.join(workspace, 'long.lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 2 },
        training: { max_steps: 500_000, save_steps: 1000, eval_steps: 1000 },
        samples: { sample_steps: 0 },
      }),
    );
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder() },
    });
    for (let i = 0; i < 2; i++) {
      const { browser, page } = await d.openPage(server);
      await d.openView(page, 'LoRA');
      windows.push(page);
      browsers.push(browser);
    }
  });
  after(async () => {
    for (const browser of browsers) await browser.close();
    await server?.stop();
    endEngines(workspace);
  });

  afterEach(async () => {
    for (const [i, page] of windows.entries())
      await d.screenshot(page, path.join(shots, `at-window-${i + 1}.png`));
  });

  it('a run started in one window appears and advances in the other, and both windows can control it', async () => {
    const [first, second] = windows;
    await openFile(first, 'long.lora.json');
    await palette(first, 'LoRA: Run Recipe');
    await row(second).waitFor();
    await until(
      async () => /\d+\/500,000/.test(await description(second)),
      'steps in the second window',
    );
    await row(second).click();
    const before = await until(() => shownStep(second), 'the dashboard of the second window');
    await until(async () => (await shownStep(second)) > before, 'later steps there');
    await chooseInMenu(second, row(second), 'Pause');
    await until(
      async () => /pause/.test((await d.treeItems(first, 'Runs'))[0]?.icon),
      'the pause in the first window',
    );
    await d.screenshot(first, path.join(shots, 'two-windows.png'));
    await chooseInMenu(first, row(first), 'Stop');
    for (const page of windows)
      await until(async () => /stopped/i.test(await description(page)), 'the end in both windows');
    await until(
      () => runsOf(workspace).length === 1 && runsOf(workspace)[0].record.state === 'stopped',
      'one run, stopped',
    );
  });
});
