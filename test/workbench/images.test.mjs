// Images in a real workbench: a playground asks about them, and the Data page shows them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import * as d from './drive.mjs';
import {
  AS_PLAYGROUND,
  checkThemes,
  chooseInMenu,
  LIMIT,
  openFile,
  openWorkbench,
  until,
} from './page.mjs';
import { makeWorkspace, root, runsOf } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const fixture = path.join(root, 'test/fixtures/qwen3-vl-images');
const cli = (...args) =>
  spawnSync(process.execPath, [path.join(root, 'dist', 'cli.js'), ...args], { encoding: 'utf8' });

const { visibleControls } = await tsImport('../../src/shared/plainText.ts', import.meta.url);

describe('images in chats', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const inWorkspace = (...parts) => path.join(workspace, ...parts);
  let workbench, page;
  const body = () => d.webview(page);
  const runs = () =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row');
  const shownImages = (names) =>
    until(
      async () => {
        const images = body().locator('.thumbnail img');
        const sizes = await images.evaluateAll((all) =>
          all.map((image) => [image.alt, image.naturalWidth > 0]),
        );
        return JSON.stringify(sizes) === JSON.stringify(names.map((name) => [name, true]));
      },
      `the images ${names.join(', ')}`,
    );
  /** Waits until base and adapter have given these answers. */
  const answered = (expected) =>
    until(
      async () => {
        const texts = await body().locator('article:not(.expected) .text').allInnerTexts();
        return texts.map((text) => text.trim()).join('\0') === expected.join('\0');
      },
      `the answers ${JSON.stringify(expected)}`,
    );
  /** What base and adapter answer to a text about an image on the command line. */
  const answersOfCli = (image, text) => {
    const messages = inWorkspace('data', 'ask.json');
    const content = [
      { type: 'image', image },
      { type: 'text', text },
    ];
    writeFileSync(messages, JSON.stringify([{ role: 'user', content }]));
    const base = ['--base', inWorkspace('models/vl'), ...AS_PLAYGROUND];
    const asked = [...base, '--messages', messages, '--max-new-tokens', '12', '--json'];
    const adapter = path.join(runsOf(workspace)[0].dir, 'adapter');
    return [[], ['--adapter', adapter]].map((own) => {
      const { stdout, stderr } = cli('generate', ...asked, ...own);
      assert.notEqual(stdout, '', stderr);
      return visibleControls(JSON.parse(stdout).text.trim()) || '(nothing)';
    });
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    cpSync(path.join(fixture, 'base'), inWorkspace('models/vl'), { recursive: true });
    cpSync(path.join(fixture, 'chats'), inWorkspace('data'), { recursive: true });
    writeFileSync(
      inWorkspace('images.lora.json'),
      JSON.stringify({
        base: 'models/vl',
        dataset: 'data/rows.jsonl',
        validation: 'data/rows.jsonl',
        lora: { r: 4, target_modules: ['q_proj', 'v_proj'] },
        training: { max_steps: 20, max_length: 128, learning_rate: 0.02 },
        samples: { sample_steps: 0 },
      }),
    );
    const { status, stderr } = cli('train', inWorkspace('images.lora.json'));
    assert.equal(status, 0, stderr);
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
    await until(async () => (await runs().count()) === 1, 'the run');
  });
  after(() => workbench?.close());
  afterEach((test) =>
    d.screenshot(page, path.join(shots, `at-images-${test.name.slice(0, 14).trim()}.png`)),
  );

  it('asks about the image of a row, and answers as the command line does', async () => {
    await chooseInMenu(page, runs().nth(0), 'Try Adapter');
    await body().getByText('Ready, on').waitFor();
    await body()
      .getByText(/^Row 1 of 3/)
      .waitFor();
    await shownImages(['wide.png']);
    await body().locator('#max_new_tokens').fill('12');
    await body().locator('#prompt').press('Control+Enter');
    await answered(answersOfCli('wide.png', 'What is it?'));
  });

  it('attaches a file that is chosen, and answers about it', async () => {
    await body().getByRole('button', { name: 'Ask without the row' }).click();
    await body().getByRole('button', { name: 'Remove the image wide.png' }).click();
    await body().getByRole('button', { name: 'Attach Images…' }).click();
    await d.chooseFile(page, inWorkspace('data/tall.png'));
    await shownImages(['tall.png']);
    await body().locator('#prompt').fill('How tall?');
    await body().locator('#prompt').press('Control+Enter');
    await answered(answersOfCli('tall.png', 'How tall?'));
  });

  it('is accessible in four themes', () =>
    checkThemes(workbench.server, page, 'playground-images', body()));

  it('restores the images when the window is reloaded', async () => {
    await d.stateSaved(page, 'tall.png');
    await page.reload();
    await body().getByText('Ready, on').waitFor();
    await shownImages(['tall.png']);
    await page.keyboard.press('F1');
    await page.keyboard.press('Escape');
    await d.runCommand(page, 'View: Close All Editors');
  });

  it('shows the images of a row on the Data page', async () => {
    await openFile(page, 'rows.jsonl');
    await d.runCommand(page, 'LoRA: Open Dataset');
    await body().locator('.row').nth(1).click();
    await shownImages(['tall.png', 'wide.png']);
    await checkThemes(workbench.server, page, 'data-images', body());
  });
});
