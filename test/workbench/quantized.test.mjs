// Quantized bases in a real workbench: what Train Adapter says of a .gguf file, what Merge asks
// where the base was quantized for training or is stored quantized, and what auto does where only
// quantized weights fit.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import * as d from './drive.mjs';
import { acceptInput, commandPick, LIMIT, openFile, openWorkbench, until } from './page.mjs';
import { makeWorkspace, root, runsOf } from './workspace.mjs';

const { writeQ8_0, writeSparseLlama } = await tsImport('../support/ggufBases.ts', import.meta.url);

const shots = path.join(root, 'out', 'screenshots');
const THEMES = ['dark', 'light', 'high-contrast', 'high-contrast-light'];
const BASE = path.join(root, 'test', 'fixtures', 'llama-sharded', 'base');
const cli = (...args) =>
  spawnSync(process.execPath, [path.join(root, 'dist', 'cli.js'), ...args], { encoding: 'utf8' });

/** A run of two steps on a base of the workspace. */
function trainOn(workspace, name, base, training) {
  const recipe = path.join(workspace, `${name}.lora.json`);
  writeFileSync(
    recipe,
    JSON.stringify({
      base,
      dataset: 'data/train.jsonl',
      lora: { r: 4, target_modules: 'all-linear' },
      training: { max_steps: 2, max_length: 64, ...training },
    }),
  );
  const run = path.join(workspace, '.lora', 'runs', `20260102-030405-${name}`);
  const { status, stderr } = cli('train', recipe, '--run-dir', run);
  assert.equal(status, 0, stderr);
}

describe('quantized bases in the workbench', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let opened, server, page;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    cpSync(BASE, path.join(workspace, 'models', 'sharded'), { recursive: true });
    await writeQ8_0(path.join(workspace, 'models', 'small-q8_0.gguf'), BASE);
    trainOn(workspace, 'nf40', 'models/sharded', { quantize: 'nf4' });
    trainOn(workspace, 'q800', 'models/small-q8_0.gguf', { base_dtype: 'quantized' });
    opened = await openWorkbench(workspace);
    ({ server, page } = opened);
  });
  after(() => opened?.close());

  const rows = () => page.locator('.quick-input-list .monaco-list-row');
  const title = (text) => page.locator('.quick-input-title', { hasText: text }).waitFor();
  const choose = (text) => rows().filter({ hasText: text }).first().click();
  async function showThemes(name) {
    for (const theme of THEMES) {
      await d.setTheme(server, page, theme);
      await d.screenshot(page, path.join(shots, `${name}-${theme}.png`));
    }
    await d.setTheme(server, page, 'dark');
  }

  it('Train Adapter says of each data type whether a .gguf base fits', async () => {
    await commandPick(page, 'LoRA: Train Adapter', ['base', 'small-q8_0']);
    await title('Dataset');
    await choose('train.jsonl');
    await title('Rank');
    await choose('r = 4');
    await title('Target');
    await choose('All linear layers');
    await title('Start');
    const start = rows().filter({ hasText: 'Start Training' }).first();
    await start.filter({ hasText: /quantized/i }).waitFor();
    assert.match(await start.innerText(), /fits|gradient checkpointing/);
    await showThemes('start-gguf');
    await page.keyboard.press('Escape');
  });

  it('Merge asks which weights to merge into, says what each costs, and merges', async () => {
    await commandPick(page, 'LoRA Adapter: Merge into Model', ['merge into its base', 'nf40']);
    const stored = rows().filter({ hasText: 'Into the base as it is stored' });
    await stored.waitFor();
    assert.match(await stored.innerText(), /Answers differ slightly from those in training/);
    const used = rows().filter({ hasText: 'Into the nf4 values used in training' });
    assert.match(await used.innerText(), /keep the rounding to nf4/);
    await showThemes('merge-nf4');
    await used.click();
    await acceptInput(page, 'Output');
    await page.locator('.tab.active', { hasText: 'merge.json' }).waitFor();
    const certificate = d.webview(page);
    await certificate.getByText('W as quantized to nf4').waitFor();
    await certificate.getByText('Same top token', { exact: true }).waitFor();
  });

  it('Merge says of each form what becomes of a Q8_0 base, and the merged file answers', async () => {
    await commandPick(page, 'LoRA Adapter: Merge into Model', ['merge into its base', 'q800']);
    const file = rows().filter({ hasText: 'GGUF file, Q8_0' });
    await file.waitFor();
    assert.match(await file.innerText(), /Merged weights are rounded to Q8_0 again/);
    const folder = rows().filter({ hasText: 'Hugging Face model folder, F16' });
    assert.match(await folder.innerText(), /F16 \(base Q8_0\): 1\.8 times the size/);
    await showThemes('merge-q8_0');
    await file.click();
    await title('Output');
    const input = page.locator('.quick-input-widget input[type=text]');
    const merged = path.resolve(workspace, await input.inputValue());
    await input.press('Enter');
    await page.locator('.tab.active', { hasText: '.merge.json' }).waitFor();
    const [notification] = await d.notifications(page, /Merged: .*\.gguf/);
    assert.match(notification.text, /Same top token as base \+ adapter at/);
    assert.ok(existsSync(merged), merged);
    const { status, stdout, stderr } = cli(
      ...['generate', '--base', merged, '--prompt', 'say one', '--max-new-tokens', '4', '--json'],
    );
    assert.equal(status, 0, stderr);
    assert.ok(JSON.parse(stdout.trim().split('\n').at(-1)).text.length > 0, stdout);
  });

  it('keeps a base in its blocks where nothing else fits, and says so before and while it trains', async () => {
    const recipe = path.join(workspace, 'large.lora.json');
    const large = path.join(workspace, 'models', 'zeros-q2_k.gguf');
    writeSparseLlama(large, BASE, 1.25 * process.availableMemory());
    writeFileSync(
      recipe,
      JSON.stringify({
        base: 'models/zeros-q2_k.gguf',
        dataset: 'data/train.jsonl',
        training: { max_steps: 1, per_device_train_batch_size: 1, max_length: 64 },
      }),
    );
    await openFile(page, 'large.lora.json');
    await d.runCommand(page, 'LoRA: Configure Rank and Targets');
    const frame = d.webview(page);
    await frame.getByText('auto chooses quantized, because more exact types do not fit.').waitFor();
    await frame.locator('table.types tr[data-fit="exceeds"]', { hasText: 'bfloat16' }).waitFor();
    await showThemes('configure-large');
    // the recipe's editor, which is left, has the focus then
    await d.runCommand(page, 'View: Close Editor');
    await page.locator('.editor-instance .monaco-editor.focused').waitFor();
    await d.runCommand(page, 'LoRA: Run Recipe');
    await page.locator('.tab.active', { hasText: 'large' }).waitFor();
    await d.webview(page).locator('vscode-panel-tab#recipe').click();
    await d
      .webview(page)
      .getByText(/quantized as in the file, products in \w+ \(chosen by auto\)/)
      .waitFor();
    await d.screenshot(page, path.join(shots, 'train-large.png'));
    const button = d.webview(page).getByRole('button', { name: 'Stop' });
    await button.first().click();
    await until(
      () => ['stopped', 'completed'].includes(runsOf(workspace).at(-1)?.record?.state),
      'the end of the run',
    );
  });
});
