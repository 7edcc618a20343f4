// A workspace of a stranger in the real workbench: what stands at the places of files, what is
// named in them, and what commands on its runs would change elsewhere.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  EVIL,
  LINKED,
  makeHostileWorkspace,
  MARKER,
  unseenIn,
  writeRun,
} from './hostileFolder.mjs';
import { chooseInMenu, contentsOf, hoverShows, LIMIT, openFile, packageVsix } from './page.mjs';
import { until } from './until.mjs';
import { installWorkbench, runtimeFolder } from './workspace.mjs';

/** How the labels of the runs begin: the one of links has no name, but a rank. */
const HOSTILE = ['failed', 'folder', 'huge', 'named', 'pipe', 'r4', 'zero'];

/** Opens a hostile workspace. `close` stops browser and server. */
async function open(options) {
  const { workspace, runs, elsewhere } = makeHostileWorkspace();
  const touched = path.join(mkdtempSync(path.join(tmpdir(), 'lora-touched-')), 'log');
  writeFileSync(touched, '');
  const server = await d.launchServer({
    dir: installWorkbench(),
    workspace,
    vsix: [packageVsix()],
    env: {
      NODE_OPTIONS: `--require=${path.join(import.meta.dirname, 'touched.cjs')}`,
      LORA_MARKER: MARKER,
      LORA_TOUCHED: touched,
    },
    ...options,
  });
  let browser;
  const close = async () => {
    await browser?.close();
    await server.stop();
  };
  try {
    const requests = [];
    const opened = await d.openPage(server, {
      before: (page) => page.on('request', (request) => requests.push(request.url())),
    });
    browser = opened.browser;
    await d.openView(opened.page, 'LoRA');
    return {
      ...{ server, page: opened.page, runs, workspace, elsewhere, close },
      before: contentsOf(elsewhere),
      touched: () => readFileSync(touched, 'utf8'),
      requests: () => requests.filter((url) => url.includes(EVIL)),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const rows = (page) =>
  page
    .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
    .locator('.monaco-list-row');
const row = (page, name) =>
  rows(page)
    .filter({ has: page.locator('.label-name', { hasText: new RegExp(`^${name}(\\s|$)`) }) })
    .first();
const linkedRow = (page) => rows(page).filter({ hasText: LINKED });
const labels = async (page) => (await d.treeItems(page, 'Runs')).map(({ label }) => label ?? '');

/** Nothing of the stranger's is a link, image or icon, nor unseen, outside of text editors. */
async function assertPlain(page, requests) {
  const { live, text } = await page.evaluate((evil) => {
    const isOwn = (element) => element.closest('.monaco-editor') === null;
    const links = document.querySelectorAll('a[href], a[data-href], img, .codicon-zap');
    const all = [...links].filter(isOwn);
    const shown = [
      ...document.querySelectorAll('.monaco-list-row, .monaco-hover, .tab, .statusbar'),
    ];
    const boxes = document.querySelectorAll(
      '.notification-list-item, .quick-input-widget, .monaco-dialog-box',
    );
    return {
      live: all
        .map((element) => element.outerHTML)
        .filter((html) => html.includes(evil) || html.includes('command:') || html.includes('zap')),
      text: [...shown, ...boxes]
        .filter(isOwn)
        .map((element) => element.textContent)
        .join('\n'),
    };
  }, EVIL);
  assert.deepEqual(live, []);
  assert.deepEqual(unseenIn(text), []);
  assert.deepEqual(requests(), []);
}

/** Opens a recipe whose files are elsewhere, in a text editor. */
async function opensRecipe({ page, requests }) {
  await openFile(page, 'far.lora.json');
  await page.locator('.view-line', { hasText: 'init_adapter' }).first().waitFor();
  await assertPlain(page, requests);
}

/** Nothing of the stranger's is a link, an image or an icon, nor unseen, on a page. */
async function assertPlainPage(page) {
  const body = d.webview(page).locator('main');
  const html = await body.innerHTML();
  assert.deepEqual(unseenIn(html), []);
  assert.equal(await body.locator('a, img, .codicon-zap').count(), 0);
  return html;
}

/** The extension host reads a run that is written now. */
async function assertAnswers({ page, runs }, id) {
  writeRun(runs, id);
  await row(page, id).waitFor();
}

async function listsHostileRuns({ page, requests }) {
  await until(async () => (await labels(page)).length === HOSTILE.length, 'the hostile runs');
  const shown = (await labels(page)).map((label) => label.split(' ')[0]).sort();
  assert.deepEqual(shown, HOSTILE);
  const hover = await hoverShows(page, row(page, 'named'), EVIL);
  assert.equal(await hover.locator('a, img').count(), 0);
  await assertPlain(page, requests);
  await page.mouse.move(700, 500);
}

async function inspectsHostileFiles({ page, requests }) {
  for (const file of ['names.safetensors', 'names.gguf']) {
    await openFile(page, file);
    await d.webview(page).locator('h1', { hasText: file }).waitFor();
    assert.match(await assertPlainPage(page), /\\u202e/);
  }
  await openFile(page, 'adapter_model.safetensors');
  await d.webview(page).locator('td', { hasText: MARKER }).waitFor();
  await assertPlainPage(page);
  await assertPlain(page, requests);
}

async function opensDashboards({ page, requests }) {
  for (const name of ['failed', 'named']) {
    await row(page, name).click();
    await d.webview(page).locator('h1', { hasText: name }).waitFor();
    await until(
      async () => (await assertPlainPage(page)).includes('\\u202e'),
      `the dashboard of ${name}`,
    );
    await assertPlain(page, requests);
  }
}

describe('a workspace of a stranger in Restricted Mode', { timeout: LIMIT }, () => {
  let opened;
  before(async () => {
    opened = await open({ trusted: false });
  });
  after(() => opened?.close());

  it('lists its runs as broken where they are no files, and shows names as text', () =>
    listsHostileRuns(opened));
  it('opens its recipe', () => opensRecipe(opened));
  it('shows dashboards of its runs as text', () => opensDashboards(opened));
  it('shows its files of tensors as text', () => inspectsHostileFiles(opened));

  it('touches no path that its files name, changes nothing elsewhere, and answers', async () => {
    await assertAnswers(opened, 'fresh');
    assert.equal(opened.touched(), '');
    assert.deepEqual(contentsOf(opened.elsewhere), opened.before);
  });
});

describe('a workspace of a stranger that is trusted', { timeout: LIMIT }, () => {
  let opened;
  before(async () => {
    opened = await open({ settings: { 'lora.runtime.path': runtimeFolder() } });
  });
  after(() => opened?.close());

  it('lists its runs as broken where they are no files, and shows names as text', () =>
    listsHostileRuns(opened));
  it('looks for the files that its recipe names, but not on servers', async () => {
    await opensRecipe(opened);
    await until(() => opened.touched().includes(`${MARKER}/validation.jsonl`), 'the search');
    assert.ok(!opened.touched().includes(`/${MARKER}`));
  });
  it('shows its files of tensors as text', () => inspectsHostileFiles(opened));

  it('changes nothing through links when a run is resumed', async () => {
    const { page, elsewhere, before, requests } = opened;
    await chooseInMenu(page, linkedRow(page), 'Resume');
    await d.notifications(page, /engine\.log is a link/);
    await assertPlain(page, requests);
    assert.deepEqual(contentsOf(elsewhere), before);
  });

  it('changes nothing through links when a run is renamed', async () => {
    const { page, elsewhere, before } = opened;
    await chooseInMenu(page, linkedRow(page), 'Rename');
    await page.locator('.quick-input-title', { hasText: 'Rename Run' }).waitFor();
    await d.typeInput(page, 'renamed');
    await d.notifications(page, /notes\.json.*link/);
    assert.deepEqual(contentsOf(elsewhere), before);
  });

  it('changes nothing elsewhere when a run is repeated', async () => {
    const { page, elsewhere, before, requests } = opened;
    await chooseInMenu(page, linkedRow(page), 'Run Again');
    await d.notifications(page, /The recipe has \d errors/);
    await assertPlain(page, requests);
    assert.deepEqual(contentsOf(elsewhere), before);
  });

  it('removes links, not what they lead to, when a run is deleted', async () => {
    const { page, elsewhere, before } = opened;
    await chooseInMenu(page, linkedRow(page), 'Delete');
    assert.match(await d.dialog(page, 'Move to Trash'), /Delete the run/);
    const permanently = page.locator('.monaco-dialog-box').getByText(/permanently/);
    await until(async () => {
      if (await permanently.isVisible()) await d.dialog(page, 'Delete Permanently');
      return (await linkedRow(page).count()) === 0;
    }, 'the run to disappear');
    assert.deepEqual(contentsOf(elsewhere), before);
    await assertAnswers(opened, 'fresh');
  });
});
