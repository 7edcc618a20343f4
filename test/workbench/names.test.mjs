// A run folder of a stranger, whose names are links to commands, in an untrusted workspace.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import { hoverShows, LIMIT, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const LINK = '[Resume](command:workbench.action.terminal.new?%7B%7D)';
const NAME = `stranger ${LINK} $(zap) \u202e`;
const IMAGE = '![x](https://evil.example/x.png)';
/** How often an engine writes engine.json anew. */
const HEARTBEAT_MS = 2_000;

const RECORD = {
  version: 1,
  id: 'stranger',
  name: NAME,
  state: 'running',
  created: '2026-01-02T03:04:05.000Z',
  started: null,
  ended: null,
  recipe: {
    task: 'causal_lm',
    base: IMAGE,
    dataset: `/w/${IMAGE}.jsonl`,
    validation: null,
    lora: { r: 4, lora_alpha: 8, target_modules: 'all-linear' },
    training: { max_steps: 30, method: 'lora' },
    samples: { prompts: [], sample_steps: 0 },
  },
  recipe_path: null,
  base: null,
  data: null,
  trainable_parameters: null,
  total_steps: 30,
  versions: { extension: '0', node: '20', runtime: IMAGE, device: IMAGE },
  git_commit: null,
  result: {
    steps: 3,
    last_loss: 1.5,
    last_validation_loss: null,
    best_validation_loss: null,
    best_step: null,
    adapter: null,
  },
  error: null,
};

describe('a run of a stranger in an untrusted workspace', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const run = path.join(workspace, '.lora', 'runs', 'stranger');
  const requests = [];
  let server, browser, page, heart;

  /** Pretends that an engine, this process, owns the run. */
  const beat = () =>
    writeFileSync(
      path.join(run, 'engine.json'),
      JSON.stringify({
        pid: process.pid,
        pipe: '/nowhere',
        started: '2026-01-02T03:04:05.000Z',
        heartbeat: new Date().toISOString(),
      }),
    );
  const row = () =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row')
      .first();
  const links = (selector) =>
    page.locator(selector).evaluateAll((all) => all.map((link) => link.outerHTML));

  before(async () => {
    mkdirSync(shots, { recursive: true });
    mkdirSync(run, { recursive: true });
    writeFileSync(path.join(run, 'run.json'), JSON.stringify(RECORD));
    writeFileSync(
      path.join(run, 'notes.json'),
      JSON.stringify({ version: 1, name: '', tags: [], note: `${IMAGE} ${LINK}` }),
    );
    beat();
    heart = setInterval(beat, HEARTBEAT_MS);
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      trusted: false,
    });
    ({ browser, page } = await d.openPage(server));
    page.on('request', (request) => requests.push(request.url()));
    await d.openView(page, 'LoRA');
  });
  after(async () => {
    clearInterval(heart);
    await browser?.close();
    await server?.stop();
  });

  it('the hover over its row shows images and links as text, and fetches nothing', async () => {
    await row().waitFor();
    const hover = await hoverShows(page, row(), 'evil.example');
    assert.match(await hover.innerText(), /!\[x\]\(https:\/\/evil\.example\/x\.png\)/);
    assert.equal(await hover.locator('img').count(), 0);
    assert.equal(await hover.locator('a').count(), 0);
    assert.deepEqual(
      requests.filter((url) => url.includes('evil.example')),
      [],
    );
    await d.screenshot(page, path.join(shots, 'stranger-hover.png'));
  });

  it('the status bar shows its name without an icon or a link', async () => {
    const item = page.locator('.statusbar-item', { hasText: 'stranger' }).first();
    await item.waitFor();
    assert.equal(await item.locator('.codicon-zap').count(), 0);
    assert.match(await item.innerText(), /\$ \(zap\) \\u202e/);
  });

  it('the message that its engine ended contains no link', async () => {
    clearInterval(heart);
    rmSync(path.join(run, 'engine.json'));
    const [{ text }] = await d.notifications(page, /ended unexpectedly/);
    assert.match(text, /stranger \[Resume\] \(command:/);
    assert.deepEqual(await links('.notification-list-item-message a'), []);
    await d.screenshot(page, path.join(shots, 'stranger-message.png'));
  });

  it('a click on its row opens its dashboard, also while the view is read again and again', async () => {
    await page.keyboard.press('Escape');
    for (let i = 0; i < 5; i++) {
      writeFileSync(path.join(run, 'run.json'), JSON.stringify({ ...RECORD, total_steps: 40 + i }));
      await row().click();
    }
    await until(
      async () => (await d.webview(page).locator('body').innerText()).includes('stranger'),
      'the dashboard of the run',
    );
    assert.equal(await page.locator('.quick-input-widget:visible').count(), 0);
  });
});
