// The Runs view in a real workbench: labels, clicks, cards, and a filter that matches nothing.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  checkThemes,
  chooseInMenu,
  hoverShows,
  LIMIT,
  openFile,
  openWorkbench,
  succeeds,
  until,
} from './page.mjs';
import { endEngines, makeWorkspace, root, runsOf } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('the Runs view', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const writeRecipe = (name, r, steps) =>
    writeFileSync(
      path.join(workspace, name),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r },
        training: { max_steps: steps },
        samples: { sample_steps: 0 },
      }),
    );
  let workbench, page;
  const shot = (name) => d.screenshot(page, path.join(shots, `${name}.png`));
  const labels = async () => (await d.treeItems(page, 'Runs')).map((item) => item.label);
  const rows = () =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row');
  const list = () => page.locator('.monaco-list[aria-label="Runs"]');
  /** Opens the card of a row, again if VS Code draws the row just then, which closes the card. */
  const openCard = async (row) => {
    let card;
    await until(async () => {
      card = await hoverShows(page, row, 'models/tiny');
      return !(await succeeds(card.waitFor({ state: 'hidden', timeout: 10_000 })));
    }, 'a card that stays open');
    return card;
  };
  const tabs = () => page.locator('.tab').count();

  before(async () => {
    mkdirSync(shots, { recursive: true });
    for (const r of [2, 4]) {
      writeRecipe(`r${r}.lora.json`, r, 8);
      const { status, stderr } = spawnSync(
        process.execPath,
        [path.join(root, 'dist', 'cli.js'), 'train', path.join(workspace, `r${r}.lora.json`)],
        { encoding: 'utf8' },
      );
      assert.equal(status, 0, stderr);
    }
    writeRecipe('long.lora.json', 8, 500_000);
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
    await until(async () => (await labels()).length === 2, 'two runs');
  });
  after(async () => {
    await workbench?.close();
    endEngines(workspace);
  });
  afterEach((test) => shot(`at-view-${test.name.slice(0, 20).replace(/\W+/g, '-')}`));

  it('calls runs by rank and loss, the newest first', async () => {
    const all = await labels();
    assert.match(all[0], /^r4 · \d\.\d{3}$/);
    assert.match(all[1], /^r2 · \d\.\d{3}$/);
    await shot('runs-labels');
  });

  it('opens a clicked run in one preview panel, and keeps the focus in the view', async () => {
    await rows().nth(0).click();
    await d.webview(page).locator('canvas').first().waitFor();
    assert.equal(await tabs(), 1);
    assert.equal(await list().locator(':scope:focus').count(), 1, 'the focus');
    const shownRank = async () =>
      (await d.webview(page).locator('body').innerText()).includes('r = 2');
    await rows().nth(1).click();
    await until(shownRank, 'the dashboard of the other run');
    assert.equal(await tabs(), 1, 'the same panel');
    await page.keyboard.press('ArrowUp');
    await list().locator('.monaco-list-row.focused', { hasText: 'r4' }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('F2');
    await page.locator('.quick-input-title', { hasText: 'Rename Run' }).waitFor();
    await page.keyboard.press('Escape');
  });

  it('pins the panel with a double click', async () => {
    await rows().nth(1).dblclick();
    await until(
      async () => (await list().locator(':scope:focus').count()) === 0,
      'the focus on the dashboard',
    );
    await rows().nth(0).click();
    await until(async () => (await tabs()) === 2, 'a second panel');
    await rows().nth(1).click();
    assert.equal(await tabs(), 2);
  });

  it('says that no run matches the filter, and clears it', async () => {
    await d.runCommand(page, 'LoRA Run: Filter');
    await page.locator('.quick-input-title', { hasText: 'Filter Runs' }).waitFor();
    await d.typeInput(page, 'nowhere');
    const welcome = page.locator('.welcome-view-content');
    await welcome.getByText('No run matches the filter.').waitFor();
    await shot('filter-nothing');
    const button = welcome.locator('.monaco-button');
    assert.deepEqual(await button.allTextContents(), ['Clear Filter']);
    await button.click();
    await until(async () => (await labels()).length === 2, 'both runs');
  });

  it('shows a table of all runs, which opens their dashboards', async () => {
    await d.runCommand(page, 'LoRA Run: Show Table');
    await page.locator('.tab.active', { hasText: 'Runs' }).waitFor();
    const table = d.webview(page);
    await until(async () => (await table.locator('tbody tr').count()) === 2, 'two runs');
    await table.getByRole('searchbox').fill('r>2 loss<100');
    await until(async () => (await table.locator('tbody tr').count()) === 1, 'one run');
    await checkThemes(workbench.server, page, 'runs-table');
    await table.locator('tbody button.link').click();
    await page.locator('.tab.active', { hasText: 'train on tiny' }).waitFor();
  });

  it('keeps the card of a run open while it trains', async () => {
    await openFile(page, 'long.lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    const steps = () => runsOf(workspace)[2]?.metrics.filter(({ kind }) => kind === 'step').length;
    await until(() => steps() > 5, 'steps');
    const row = rows().nth(0);
    await until(async () => /\d\/500,000/.test(await row.innerText()), 'its steps in the view');
    const card = await openCard(row);
    const [opened, before, text] = [Date.now(), steps(), await row.innerText()];
    await until(() => Date.now() > opened + 45_000 && steps() > before + 20, '20 more steps');
    assert.ok(await card.isVisible(), 'the card');
    assert.equal(await row.innerText(), text, 'the row under the card');
    await shot('card-while-training');
    await hoverShows(page, rows().nth(1), 'models/tiny');
    await until(async () => (await row.innerText()) !== text, 'later steps in the view');
    await chooseInMenu(page, row, 'Stop');
    await until(() => runsOf(workspace)[2].record.state === 'stopped', 'the stop');
    await until(async () => /^r8 · \d/.test((await labels())[0]), 'its loss in the label');
  });
});
