// The run history in a real workbench: names, tags, filter, groups, the parts of a run, its card,
// and repeating, comparing and deleting runs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  acceptInput,
  chooseInMenu,
  chooseInSubmenu,
  hoverShows,
  inputFocused,
  LIMIT,
  packageVsix,
  palette,
  readJson,
  until,
} from './page.mjs';
import { installWorkbench, makeWorkspace, root, runsOf, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('the run history', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const recipe = (r, steps) =>
    JSON.stringify(
      {
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r },
        training: { max_steps: steps, save_steps: 4 },
        samples: { sample_steps: 0 },
      },
      null,
      2,
    );
  let server, browser, page;
  const row = (label) => d.treeRow(page, 'Runs', label);
  const labels = async () => (await d.treeItems(page, 'Runs')).map((item) => item.label);
  const menu = (label, entry) => chooseInMenu(page, row(label), entry);

  before(async () => {
    mkdirSync(shots, { recursive: true });
    for (const [name, r] of [
      ['first.lora.json', 2],
      ['second.lora.json', 4],
    ]) {
      writeFileSync(path.join(workspace, name), recipe(r, 8));
      const { status, stderr } = spawnSync(
        process.execPath,
        [path.join(root, 'dist', 'cli.js'), 'train', path.join(workspace, name)],
        { encoding: 'utf8' },
      );
      assert.equal(status, 0, stderr);
    }
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder() },
    });
    ({ browser, page } = await d.openPage(server));
    await d.openView(page, 'LoRA');
    await until(async () => (await labels()).length === 2, 'two runs');
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-history-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('stores names, tags and notes in the folder of the run', async () => {
    const pane = page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row');
    for (const [at, name] of [
      [0, 'newer'],
      [1, 'older'],
    ]) {
      await chooseInMenu(page, pane.nth(at), 'Rename');
      await page.locator('.quick-input-title', { hasText: 'Rename Run' }).waitFor();
      await d.typeInput(page, name);
      await row(name).waitFor();
    }
    await chooseInSubmenu(page, row('newer'), 'Run', 'Tag');
    await page.locator('.quick-input-title', { hasText: 'Tag Run' }).waitFor();
    await d.typeInput(page, 'small, good');
    const notes = path.join(runsOf(workspace)[1].dir, 'notes.json');
    await until(() => readJson(notes)?.tags.length === 2, 'the tags on disk');
    assert.deepEqual(readJson(notes), {
      name: 'newer',
      tags: ['small', 'good'],
      note: '',
    });
    await page.locator('.monaco-list-row', { hasText: '#good' }).waitFor();
  });

  it('filters runs while the user types, and groups them', async () => {
    await d.runCommand(page, 'LoRA Run: Filter');
    await page.locator('.quick-input-title', { hasText: 'Filter Runs' }).waitFor();
    await inputFocused(page);
    await page.keyboard.type('#small');
    await until(async () => (await labels()).join() === 'newer', 'one run');
    await page.keyboard.press('Enter');
    await d.runCommand(page, 'LoRA Run: Clear Filter');
    await until(async () => (await labels()).length === 2, 'both runs');
    await d.runCommand(page, 'LoRA Run: Group');
    await d.pickItem(page, 'By recipe');
    await until(
      async () => (await labels()).join() === 'second.lora.json,newer,first.lora.json,older',
      'the groups',
    );
    await d.screenshot(page, path.join(shots, 'history.png'));
    await d.runCommand(page, 'LoRA Run: Group');
    await d.pickItem(page, 'No grouping');
    await until(async () => (await labels()).length === 2, 'no groups');
  });

  it('shows a card with the loss curve and the recipe changes, and the parts of a run', async () => {
    const card = await hoverShows(page, row('newer'), 'lora.r: 2 → 4');
    assert.match(await card.innerText(), /[▁▂▃▄▅▆▇█]{4,}/);
    await d.screenshot(page, path.join(shots, 'history-card.png'));
    await page.mouse.move(700, 500);
    await row('newer').locator('.monaco-tl-twistie').click();
    const parts = [
      'Adapter',
      'Best adapter',
      'Checkpoint at step 8',
      'Checkpoint at step 4',
      'Samples',
      'Recorded recipe',
    ];
    await until(
      async () => (await labels()).join() === ['newer', ...parts, 'older'].join(),
      `the parts of the run: ${parts.join()}`,
    );
    await row('Recorded recipe').click();
    await page
      .locator('.view-line', { hasText: '"per_device_train_batch_size"' })
      .first()
      .waitFor();
    await row('newer').locator('.monaco-tl-twistie').click();
  });

  it('compares two selected runs', async () => {
    await row('older').click();
    await row('newer').click({ modifiers: ['ControlOrMeta'] });
    await menu('newer', 'Compare Adapters');
    await page.locator('.tab.active', { hasText: 'older ↔ newer' }).waitFor();
    await d.webview(page).locator('vscode-button', { hasText: 'Overlay Curves' }).click();
    await page.locator('.tab.active', { hasText: '2 runs' }).waitFor();
  });

  it('compares a checkpoint with the selected adapter', async () => {
    await chooseInSubmenu(page, row('older'), 'Adapter', 'Select Adapter for Compare');
    await row('newer').locator('.monaco-tl-twistie').click();
    await row('Checkpoint at step 4').waitFor();
    await chooseInSubmenu(
      page,
      row('Checkpoint at step 4'),
      'Adapter',
      'Compare with Selected Adapter',
    );
    await page.locator('.tab.active', { hasText: 'older ↔ newer, step-4' }).waitFor();
    await row('newer').locator('.monaco-tl-twistie').click();
  });

  it('offers to train on a model folder in the Explorer, and on no other folder', async () => {
    cpSync(path.join(workspace, 'models', 'tiny'), path.join(workspace, 'copied'), {
      recursive: true,
    });
    await palette(page, 'File: Focus on Files Explorer');
    const folder = (name) =>
      page.locator('.explorer-folders-view .monaco-list-row', { hasText: name });
    await chooseInMenu(page, folder(/^copied$/), 'Train on This Model');
    await page.locator('.quick-input-title', { hasText: 'Train Adapter: Dataset' }).waitFor();
    await page.keyboard.press('Escape');
    await folder(/^data$/).click({ button: 'right' });
    const menu = page.locator('.context-view .monaco-menu');
    await menu.locator('.action-label', { hasText: 'Copy Path' }).first().waitFor();
    for (const title of ['Train on This Model', 'Try Model'])
      assert.equal(await menu.locator('.action-label', { hasText: title }).count(), 0, title);
    await page.keyboard.press('Escape');
  });

  it('offers adapter commands for an adapter folder in the Explorer', async () => {
    cpSync(path.join(root, 'test/fixtures/llama/lora-qv/adapter'), path.join(workspace, 'mine'), {
      recursive: true,
    });
    await palette(page, 'File: Focus on Files Explorer');
    const folder = page.locator('.explorer-folders-view .monaco-list-row', { hasText: /^mine$/ });
    await folder.waitFor();
    await chooseInSubmenu(page, folder, 'LoRA Adapter', 'Resize');
    await page
      .locator('.quick-input-list .monaco-list-row', { hasText: 'By retained energy' })
      .first()
      .click();
    await page.locator('.quick-input-message', { hasText: 'The fraction to keep' }).waitFor();
    await page.locator('.quick-input-widget input[type=text]').press('Enter');
    await acceptInput(page, 'Output');
    await page.locator('.tab.active', { hasText: 'README.md' }).waitFor();
    assert.ok(existsSync(path.join(workspace, 'mine-resized', 'adapter_model.safetensors')));
    await d.openView(page, 'LoRA');
  });

  it('runs a recipe again, or the recorded one if the file has changed', async () => {
    await menu('older', 'Run Again');
    await until(
      () => runsOf(workspace).length === 3 && runsOf(workspace)[2].record?.state === 'completed',
      'the end of the third run',
    );
    assert.equal(runsOf(workspace)[2].record.recipe_path, path.join(workspace, 'first.lora.json'));
    writeFileSync(path.join(workspace, 'second.lora.json'), recipe(1, 5));
    await menu('newer', 'Run Again');
    await until(
      () => runsOf(workspace).length === 4 && runsOf(workspace)[3].record?.state === 'completed',
      'the end of the fourth run',
    );
    const { record } = runsOf(workspace)[3];
    assert.deepEqual(record.recipe, runsOf(workspace)[1].record.recipe);
    assert.equal(
      path.basename(record.recipe_path),
      `${path.basename(runsOf(workspace)[1].dir)}.lora.json`,
    );
    assert.equal(readFileSync(path.join(workspace, 'second.lora.json'), 'utf8'), recipe(1, 5));
  });

  it('deletes the selected runs, after showing their size', async () => {
    await row('older').click();
    await row('newer').click({ modifiers: ['ControlOrMeta'] });
    await menu('newer', 'Delete');
    assert.match(await d.dialog(page, 'Move to Trash'), /Delete 2 runs\?[^]*[KM]iB/);
    const permanently = page.locator('.monaco-dialog-box').getByText(/permanently/);
    await until(async () => {
      // VS Code asks again where there is no trash
      if (await permanently.isVisible()) await d.dialog(page, 'Delete Permanently');
      return runsOf(workspace).length === 2;
    }, 'two runs left on disk');
    await until(async () => !(await labels()).includes('older'), 'their rows to disappear');
  });
});
