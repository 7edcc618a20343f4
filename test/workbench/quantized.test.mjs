// Quantized bases in a real workbench: what Train Adapter says of a .gguf file, and what Merge asks
// where the base was quantized for training.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import * as d from './drive.mjs';
import { commandPick, LIMIT, openWorkbench } from './page.mjs';
import { makeWorkspace, root } from './workspace.mjs';

const { asGguf } = await tsImport('../support/ggufFixture.ts', import.meta.url);
const { ggufBytes } = await tsImport('../support/ggufWriter.ts', import.meta.url);
const { toQ8_0 } = await tsImport('../../src/formats/gguf/quantise.ts', import.meta.url);

const shots = path.join(root, 'out', 'screenshots');
const THEMES = ['dark', 'light', 'high-contrast', 'high-contrast-light'];
const BASE = path.join(root, 'test', 'fixtures', 'llama-sharded', 'base');
/** GGML_TYPE_Q8_0 */
const Q8_0 = 8;

/** A .gguf base of which every matrix is in Q8_0. */
async function writeGguf(file) {
  const { metadata, tensors } = await asGguf(BASE, 'llama');
  const stored = tensors.map((own) =>
    own.shape.length === 2
      ? { ...own, stored: { type: Q8_0, bytes: toQ8_0(Float32Array.from(own.data)) } }
      : own,
  );
  writeFileSync(file, ggufBytes(metadata, stored));
}

/** A run whose base was quantized to NF4. */
function trainOnNf4(workspace) {
  const recipe = path.join(workspace, 'nf4.lora.json');
  writeFileSync(
    recipe,
    JSON.stringify({
      base: 'models/sharded',
      dataset: 'data/train.jsonl',
      lora: { r: 4, target_modules: 'all-linear' },
      training: { max_steps: 2, quantize: 'nf4', max_length: 64 },
    }),
  );
  const run = path.join(workspace, '.lora', 'runs', '20260102-030405-nf40');
  const { status, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'dist', 'cli.js'), 'train', recipe, '--run-dir', run],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
}

describe('quantized bases in the workbench', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let opened, server, page;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    cpSync(BASE, path.join(workspace, 'models', 'sharded'), { recursive: true });
    await writeGguf(path.join(workspace, 'models', 'small-q8_0.gguf'));
    trainOnNf4(workspace);
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
    await commandPick(page, 'LoRA: Train Adapter', 'base', 'small-q8_0');
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
    await commandPick(page, 'LoRA Adapter: Merge into Model', 'merge into its base', 'nf4');
    const stored = rows().filter({ hasText: 'Into the base as it is stored' });
    await stored.waitFor();
    assert.match(await stored.innerText(), /Answers differ slightly from those in training/);
    const used = rows().filter({ hasText: 'Into the nf4 values used in training' });
    assert.match(await used.innerText(), /keep the rounding to nf4/);
    await showThemes('merge-nf4');
    await used.click();
    await title('Output');
    await page.keyboard.press('Enter');
    await page.locator('.tab.active', { hasText: 'merge.json' }).waitFor();
    const certificate = d.webview(page);
    await certificate.getByText('W as quantized to nf4').waitFor();
    await certificate.getByText('Same top token', { exact: true }).waitFor();
  });
});
