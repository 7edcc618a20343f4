// Configure Rank and Targets in a real workbench: the page writes lora.json and follows its
// changes, the list offers the same choices, and the advice is based on the last run.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import { acceptInput, checkThemes, LIMIT, openFile, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const RECIPE = `{
  // the tiny model
  "base": "models/tiny",
  "dataset": "data/train.jsonl",
  "lora": { "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"] },
  "training": { "max_steps": 3 } // enough
}
`;

describe('configuring the rank', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const recipe = path.join(workspace, 'lora.json');
  const text = () => readFileSync(recipe, 'utf8');
  let server, browser, page;
  const frame = () => d.webview(page);
  /** Saves what the page has changed, once all of it is in the document. */
  const save = async () => {
    await frame().locator('.unsaved button', { hasText: 'Save' }).click();
    await frame().locator('.unsaved').waitFor({ state: 'detached' });
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeFileSync(recipe, RECIPE);
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', recipe],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      // as on a desktop; in a browser, files are saved a second later
      settings: { 'lora.runtime.path': runtimeFolder(), 'files.autoSave': 'off' },
    });
    ({ browser, page } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach((test) =>
    d.screenshot(page, path.join(shots, `at-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`)),
  );

  it('opens from the code lens and writes the rank with the keyboard, keeping scale and comments', async () => {
    await openFile(page, 'lora.json');
    await page.locator('.codelens-decoration a', { hasText: 'Configure Rank and Targets' }).click();
    await frame().locator('#r').waitFor();
    await frame().locator('#r-slider').focus();
    for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowLeft');
    await page.locator('.tab.dirty', { hasText: 'lora.json' }).waitFor();
    assert.equal(text(), RECIPE, 'nothing is written before it is saved');
    await save();
    await until(() => text().includes('"r": 4'), 'the rank in the file');
    await until(() => text().includes('"lora_alpha": 8'), 'lora_alpha in the file');
    assert.equal(
      text(),
      RECIPE.replace('"r": 8', '"r": 4').replace('"lora_alpha": 16', '"lora_alpha": 8'),
    );
  });

  it('writes the targets in their shortest form', async () => {
    for (const kind of ['k_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'])
      await frame().locator('.tree .group label', { hasText: kind }).locator('input').check();
    await save();
    await until(() => text().includes('"target_modules": "all-linear"'), 'all linear layers');
    await frame().locator('#by').selectOption('layer');
    await frame().locator('.tree .group label', { hasText: 'Layer 0' }).locator('input').uncheck();
    await save();
    await until(() => /"layers_to_transform": \[\s*1\s*\]/.test(text()), 'only layer 1');
    assert.match(text(), /\/\/ the tiny model[^]*\/\/ enough/);
    await checkThemes(server, page, 'configure', frame());
  });

  it('says how long the training takes, for the rows of the dataset', async () => {
    await frame().locator('.caption', { hasText: '3 steps, about 10 sec' }).waitFor();
    await frame().getByText('the longest row of the dataset has').waitFor();
  });

  it('follows changes of the file, and shows its errors', async () => {
    writeFileSync(recipe, RECIPE.replace('"r": 8', '"r": 0'));
    await frame().getByText('"lora.r" must be at least 1').waitFor();
    writeFileSync(recipe, RECIPE.replace('"r": 8', '"r": 2'));
    await until(
      async () => (await frame().locator('#r').inputValue()) === '2',
      'the rank of the file',
    );
  });

  it('gives advice based on the last run, and resizes its adapter', async () => {
    const line = frame().locator('.advice li', { hasText: 'would keep 99%' });
    await line.waitFor();
    await line.locator('vscode-button').click();
    await acceptInput(page, 'Output');
    const [notification] = await d.notifications(page, /Changed the rank from 8 to \d/);
    assert.match(notification.text, /KiB instead of/);
  });

  it('offers the same choices as a list', async () => {
    await openFile(page, 'lora.json');
    await d.runCommand(page, 'LoRA: Choose Rank and Targets from a List');
    await page.locator('.quick-input-title', { hasText: 'Rank' }).waitFor();
    await page.locator('.quick-input-list .monaco-list-row', { hasText: 'r = 16' }).first().click();
    await page.locator('.quick-input-title', { hasText: 'Target' }).waitFor();
    await page
      .locator('.quick-input-list .monaco-list-row', { hasText: 'All linear' })
      .first()
      .click();
    await page.locator('.tab.dirty', { hasText: 'lora.json' }).waitFor();
    await page.keyboard.press('Control+s');
    await until(
      () => text().includes('"r": 16') && text().includes('"all-linear"'),
      'the choice in the file',
    );
    assert.match(text(), /\/\/ the tiny model/);
  });

  it('lets a missing base model be chosen, and writes it to the recipe', async () => {
    const file = path.join(workspace, 'lost.lora.json');
    writeFileSync(file, '{ "base": "models/gone", "dataset": "data/train.jsonl" }\n');
    await openFile(page, 'lost.lora.json');
    await d.runCommand(page, 'LoRA: Configure Rank and Targets');
    await frame().getByText('Base model not found').waitFor();
    await d.screenshot(page, path.join(shots, 'configure-missing-base.png'));
    await frame().getByRole('button', { name: 'Choose Base Model…' }).click();
    await page.locator('.quick-input-title', { hasText: 'Choose Base Model' }).waitFor();
    await page.locator('.quick-input-list .monaco-list-row', { hasText: 'tiny' }).first().click();
    await frame().locator('#r').waitFor();
    await page.locator('.tab.dirty', { hasText: 'lost.lora.json' }).click();
    await page.keyboard.press('Control+s');
    await until(
      () => readFileSync(file, 'utf8').includes('"base": "models/tiny"'),
      'the choice in the file',
    );
  });
});
