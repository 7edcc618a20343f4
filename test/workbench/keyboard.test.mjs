// Training, comparing, trying and merging without a mouse, in a real workbench.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import { inputFocused, LIMIT, openFile, packageVsix, palette, succeeds, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runsOf, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('with the keyboard only', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let server, browser, page;
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const tabTo = (focused) =>
    until(async () => {
      const isThere = (await focused.count()) > 0;
      if (!isThere) await press('Tab');
      return isThere;
    }, `the focus on ${focused}`);
  const title = (text) => page.locator('.quick-input-title', { hasText: text }).waitFor();
  /** Accepts the first run's adapter in the quick pick with this placeholder. */
  const acceptFirst = async (placeholder, limit = {}) => {
    await page.locator(`.quick-input-widget input[placeholder*="${placeholder}"]`).waitFor(limit);
    await page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: 'train on tiny' })
      .waitFor(limit);
    await press('Enter');
  };
  /** Runs a command and accepts the first adapter; again if an opening page closes the list. */
  const acceptFirstOf = (command, placeholder) =>
    until(async () => {
      await palette(page, command);
      return succeeds(acceptFirst(placeholder, { timeout: 10_000 }));
    }, `the list of ${command}`);

  before(async () => {
    mkdirSync(shots, { recursive: true });
    for (const [name, r] of [
      ['first.lora.json', 2],
      ['second.lora.json', 4],
    ]) {
      writeFileSync(
        path.join(workspace, name),
        JSON.stringify({
          base: 'models/tiny',
          dataset: 'data/train.jsonl',
          lora: { r },
          training: { max_steps: 8 },
          samples: { sample_steps: 0 },
        }),
      );
    }
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder() },
    });
    ({ browser, page } = await d.openPage(server));
    page.mouse.click = page.mouse.down = () => {
      throw new Error('The mouse must not be used.');
    };
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-keyboard-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('trains two recipes', async () => {
    for (const [i, name] of ['first', 'second'].entries()) {
      await openFile(page, `${name}.lora.json`);
      await palette(page, 'LoRA: Run Recipe');
      await until(
        () =>
          runsOf(workspace).length === i + 1 && runsOf(workspace)[i].record?.state === 'completed',
        `the run of ${name}`,
      );
    }
    await page.locator('.tab.active', { hasText: 'train on tiny' }).waitFor();
  });

  it('compares the two adapters, and moves through the map of layers', async () => {
    // the first one is that of the active dashboard
    await acceptFirstOf('LoRA: Compare Adapters', 'compare train on tiny');
    await page.locator('.tab.active', { hasText: '↔' }).waitFor();
    const map = page
      .locator('iframe.webview.ready:visible')
      .last()
      .contentFrame()
      .frameLocator('#active-frame');
    await map.locator('.map td').first().waitFor();
    const selected = () => map.locator('.map td[aria-selected="true"]').getAttribute('aria-label');
    const first = await selected();
    await tabTo(map.locator('.map td:focus'));
    await press('ArrowRight');
    await until(async () => (await selected()) !== first, 'another layer');
  });

  it('merges one into a model', async () => {
    await acceptFirstOf('LoRA Adapter: Merge into Model', 'Select an adapter to merge');
    await title('Output');
    await press('Enter');
    await until(
      () => existsSync(path.join(workspace, 'tiny-train', 'merge.json')),
      'the merged model',
    );
    await page.locator('.tab.active', { hasText: 'merge.json' }).waitFor();
    await d.webview(page).getByRole('heading', { name: 'tiny-train' }).waitFor();
    assert.ok(
      JSON.parse(readFileSync(path.join(workspace, 'tiny-train', 'merge.json'), 'utf8')).parity,
    );
  });

  it('tries one beside its base model', async () => {
    await acceptFirstOf('LoRA: Try Adapter', 'Select an adapter to try');
    await page.locator('.tab.active', { hasText: 'Try on tiny' }).waitFor();
    const body = d.webview(page);
    await body.getByText('Ready, on').waitFor();
    await tabTo(body.locator('#prompt:focus'));
    await page.keyboard.type('name a color');
    await press('Control+Enter');
    await until(
      async () =>
        (await body.locator('article .caption').allInnerTexts()).filter((text) =>
          /tokens/.test(text),
        ).length === 2,
      'two answers',
    );
  });

  it('renames a run with F2, and asks before deleting it with Delete', async () => {
    const selectFirst = async () => {
      await until(async () => {
        await press('Control+0');
        return page.locator('.monaco-list[aria-label="Runs"]:focus').count();
      }, 'the side bar to have the focus');
      await press('Home', 'Control+Shift+Enter');
      await page.locator('.monaco-list[aria-label="Runs"] .monaco-list-row.selected').waitFor();
    };
    await palette(page, 'LoRA: Focus on Runs View');
    await selectFirst();
    await press('F2');
    await title('Rename Run');
    await inputFocused(page);
    await press('Control+A');
    await page.keyboard.type('the better one');
    await press('Enter');
    await d.treeRow(page, 'Runs', 'the better one').waitFor();
    await press('Delete');
    const box = page.locator('.monaco-dialog-box');
    await box.getByText(/Delete .*the better one/).waitFor();
    await press('Escape');
    await box.waitFor({ state: 'detached' });
    assert.equal(runsOf(workspace).length, 2, 'nothing is deleted unless it is confirmed');
  });

  it('finds commands by what they do, whatever group they are in', async () => {
    for (const [typed, title] of [
      ['lora train', 'LoRA: Train Adapter…'],
      ['rename run', 'LoRA Run: Rename…'],
      ['merge adapter', 'LoRA Adapter: Merge into Model…'],
    ]) {
      await press('F1');
      await inputFocused(page);
      await page.keyboard.type(typed);
      await page
        .locator('.quick-input-list .monaco-list-row', { hasText: title })
        .first()
        .waitFor();
      await press('Escape');
      await page.locator('.quick-input-list').waitFor({ state: 'hidden' });
    }
  });

  it('sorts and filters the table of runs, and opens a dashboard from it', async () => {
    await palette(page, 'LoRA Run: Show Table');
    await page.locator('.tab.active', { hasText: /^Runs/ }).waitFor();
    const table = d.webview(page);
    const ranks = () => table.locator('tbody button.link').count();
    await until(async () => (await ranks()) === 2, 'two runs');
    await tabTo(table.locator('input[type=search]:focus'));
    await page.keyboard.type('r>2');
    await until(async () => (await ranks()) === 1, 'one run');
    const head = table.locator('th', { has: page.locator('button.sort:focus') });
    await tabTo(head.filter({ hasText: 'Run' }));
    await press('Enter');
    await until(async () => (await head.getAttribute('aria-sort')) === 'ascending', 'the order');
    await tabTo(table.locator('tbody button.link:focus'));
    await press('Enter');
    // the newest one, which has r = 4, was renamed
    await page.locator('.tab.active', { hasText: 'the better one' }).waitFor();
  });

  it('runs the recipe of the active dashboard', async () => {
    const before = runsOf(workspace).length;
    await palette(page, 'LoRA: Run Recipe');
    await until(() => {
      const { record } = runsOf(workspace).at(-1);
      return runsOf(workspace).length === before + 1 && record?.state === 'completed';
    }, 'another run');
    assert.equal(runsOf(workspace).at(-1).record.recipe.lora.r, 4);
  });
});
