// npm run screenshots: trains the real model and takes the screenshots of the README and the guide.
// Takes about ten minutes. `-- demo` records only the animation.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { smollm2Path } from '../../scripts/models.mjs';
import { record } from './animation.mjs';
import * as d from './drive.mjs';
import { chooseInMenu, openFile, packageVsix, until } from './page.mjs';
import { installWorkbench, root, runsOf, runtimeFolder } from './workspace.mjs';

const RANKS = [1, 4, 8];
const onlyAnimation = process.argv[2] === 'demo';
const pictures = path.join(root, 'docs', 'images');
// the README is in the package, the guide is not
const animationFile = path.join(root, 'media', 'images', 'demo.webp');
const workspace = path.join(tmpdir(), 'git-commands');

/** A copy of the example with the real model, and its recipe. */
async function makeExample() {
  rmSync(workspace, { recursive: true, force: true });
  mkdirSync(pictures, { recursive: true });
  cpSync(path.join(root, 'examples', 'git-commands'), workspace, { recursive: true });
  const base = path.join(workspace, 'SmolLM2-135M-Instruct.gguf');
  cpSync(await smollm2Path(console.log), base);
  const recipe = JSON.parse(readFileSync(path.join(workspace, 'lora.json'), 'utf8'));
  const complete = { ...recipe, base: path.basename(base) };
  writeJson('lora.json', complete);
  return complete;
}

function writeJson(name, value) {
  writeFileSync(path.join(workspace, name), `${JSON.stringify(value, null, 2)}\n`);
}

/** Trains the recipe at each rank, and names the runs. */
function trainAtRanks(recipe) {
  for (const r of RANKS) {
    const name = `git-r${r}.lora.json`;
    writeJson(name, {
      ...recipe,
      lora: { ...recipe.lora, r, lora_alpha: 2 * r },
      training: { ...recipe.training, eval_steps: 19 },
    });
    console.log(`training at r = ${r}`);
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', path.join(workspace, name), '--json'],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(stderr);
  }
  for (const { dir, record: run } of runsOf(workspace)) {
    const notes = { name: `git, r = ${run.recipe.lora.r}`, tags: [], note: '' };
    writeFileSync(path.join(dir, 'notes.json'), JSON.stringify(notes));
  }
}

/** Opens the workbench with the extension. */
async function openWorkbench() {
  const server = await d.launchServer({
    dir: installWorkbench(),
    workspace,
    vsix: [packageVsix()],
    settings: { 'lora.runtime.path': runtimeFolder(), 'workbench.tips.enabled': false },
  });
  const { browser, page } = await d.openPage(server, { width: 1360, height: 860 });
  page.setDefaultTimeout(60_000);
  return {
    page,
    content: () => d.webview(page),
    row: (r) => d.treeRow(page, 'Runs', `git, r = ${r}`),
    closeEditors: () => d.runCommand(page, 'View: Close All Editors'),
    async save(name) {
      await page.mouse.move(700, 4);
      await d.screenshot(page, path.join(pictures, `${name}.png`));
      console.log(`docs/images/${name}.png`);
    },
    async close() {
      await browser.close();
      await server.stop();
    },
  };
}

/** Records a run from its start to its result as an animation. */
async function animateRun({ page, content, closeEditors }) {
  const completed = () =>
    runsOf(workspace).filter(({ record: run }) => run?.state === 'completed').length;
  const before = completed();
  await openFile(page, 'lora.json');
  await d.openView(page, 'LoRA');
  await d.runCommand(page, 'LoRA: Run Recipe');
  await content().locator('.chart-loss canvas').waitFor();
  await d.runCommand(page, 'View: Close Other Editors in Group');
  const animation = record(page, animationFile, 2_000);
  await until(() => completed() > before, 'the end of the run', 600);
  await animation.stop();
  console.log('media/images/demo.webp');
  await closeEditors();
}

async function pictureDashboard({ content, row, save, closeEditors }) {
  await row(8).click();
  await content().locator('.chart-loss canvas').waitFor();
  await content().locator('.tile-loss .value').waitFor();
  await save('dashboard');
  await closeEditors();
}

async function pictureOverlay({ page, content, row, save, closeEditors }) {
  await row(1).click();
  await row(8).click({ modifiers: ['Shift'] });
  await chooseInMenu(page, row(8), 'Overlay');
  await content().locator('.runs tbody tr').nth(2).waitFor();
  await save('overlay');
  await closeEditors();
}

async function pictureConfigure({ page, content, save, closeEditors }) {
  await openFile(page, 'lora.json');
  await d.runCommand(page, 'LoRA: Configure Rank and Targets');
  await content().locator('#r-slider').waitFor();
  const text = () => content().locator('body').innerText();
  await until(async () => /MiB|GiB/.test(await text()), 'the costs');
  await save('configure');
  await closeEditors();
}

async function pictureCompare({ page, content, row, save, closeEditors }) {
  await selectPair(row);
  await chooseInMenu(page, row(8), 'Compare Adapters');
  await page.locator('.tab', { hasText: '↔' }).first().waitFor();
  await content().locator('.map td').first().waitFor();
  await save('compare');
  await closeEditors();
}

async function picturePlayground({ page, content, row, save, closeEditors }) {
  await selectPair(row);
  await chooseInMenu(page, row(8), 'Try Adapter');
  await content().getByText('Ready, on').waitFor();
  await content().locator('#max_new_tokens').fill('48');
  await content().locator('#prompt').fill('show which files are changed');
  await content().locator('#prompt').press('Control+Enter');
  const captions = () => content().locator('article .caption').allInnerTexts();
  const answered = async () => (await captions()).filter((text) => /tokens/.test(text)).length;
  await until(async () => (await answered()) === 3, 'three answers');
  await save('playground');
  await closeEditors();
}

async function selectPair(row) {
  await row(1).click();
  await row(8).click({ modifiers: ['ControlOrMeta'] });
}

async function takePictures(workbench) {
  await d.openView(workbench.page, 'LoRA');
  const rows = () => d.treeItems(workbench.page, 'Runs');
  await until(async () => (await rows()).length === RANKS.length, 'the runs');
  await pictureDashboard(workbench);
  await pictureOverlay(workbench);
  await pictureConfigure(workbench);
  await pictureCompare(workbench);
  await picturePlayground(workbench);
}

const recipe = await makeExample();
if (!onlyAnimation) trainAtRanks(recipe);
const workbench = await openWorkbench();
try {
  if (!onlyAnimation) await takePictures(workbench);
  await animateRun(workbench);
} finally {
  await workbench.close();
  rmSync(workspace, { recursive: true });
}
