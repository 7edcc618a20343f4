// npm run screenshots: trains the real model at three ranks and takes the README's pictures of what
// a person sees then. Takes minutes.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { smollm2Path } from '../../scripts/models.mjs';
import * as d from './drive.mjs';
import { chooseInMenu, openFile, packageVsix, until } from './page.mjs';
import { installWorkbench, root, runsOf, runtimeFolder } from './workspace.mjs';

const images = path.join(root, 'media', 'images');
const workspace = path.join(tmpdir(), 'git-commands');
rmSync(workspace, { recursive: true, force: true });
mkdirSync(images, { recursive: true });
cpSync(path.join(root, 'examples/git-commands'), workspace, { recursive: true });
const recipe = JSON.parse(readFileSync(path.join(workspace, 'lora.json'), 'utf8'));
const base = path.join(workspace, 'SmolLM2-135M-Instruct.gguf');
cpSync(await smollm2Path(console.log), base);
for (const r of [1, 4, 8]) {
  const file = path.join(workspace, `git-r${r}.lora.json`);
  writeFileSync(
    file,
    `${JSON.stringify({ ...recipe, base, lora: { ...recipe.lora, r, lora_alpha: 2 * r }, training: { ...recipe.training, eval_steps: 19 } }, null, 2)}\n`,
  );
  console.log(`training at r = ${r}`);
  const { status, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'dist', 'cli.js'), 'train', file, '--json'],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
}
for (const { dir, record } of runsOf(workspace))
  writeFileSync(
    path.join(dir, 'notes.json'),
    JSON.stringify({ name: `git, r = ${record.recipe.lora.r}`, tags: [], note: '' }),
  );
writeFileSync(
  path.join(workspace, 'lora.json'),
  `${JSON.stringify({ ...recipe, base }, null, 2)}\n`,
);

const server = await d.launchServer({
  dir: installWorkbench(),
  workspace,
  vsix: [packageVsix()],
  settings: { 'lora.runtime.path': runtimeFolder(), 'workbench.tips.enabled': false },
});
const { browser, page } = await d.openPage(server, { width: 1360, height: 860 });
page.setDefaultTimeout(60_000);
const shot = async (name) => {
  await page.mouse.move(700, 4);
  await d.screenshot(page, path.join(images, `${name}.png`));
  console.log(`media/images/${name}.png`);
};
const row = (r) => d.treeRow(page, 'Runs', `git, r = ${r}`);
const closeAll = () => d.runCommand(page, 'View: Close All Editors');
const page1 = () => d.webview(page);

await d.openView(page, 'LoRA');
await until(async () => (await d.treeItems(page, 'Runs')).length === 3, 'the runs');
await row(8).click();
await page1().locator('.chart-loss canvas').waitFor();
await page1().locator('.tile-loss .value').waitFor();
await shot('dashboard');
await closeAll();

await row(1).click();
await row(8).click({ modifiers: ['Shift'] });
await chooseInMenu(page, row(8), 'Overlay Runs');
await page1().locator('.runs tbody tr').nth(2).waitFor();
await shot('overlay');
await closeAll();

await openFile(page, 'lora.json');
await d.runCommand(page, 'LoRA: Configure Rank and Targets');
await page1().locator('#r-slider').waitFor();
await until(async () => /MiB|GiB/.test(await page1().locator('body').innerText()), 'the costs');
await shot('configure');
await closeAll();

await row(1).click();
await row(8).click({ modifiers: ['ControlOrMeta'] });
await chooseInMenu(page, row(8), 'Compare Adapters');
await page
  .locator('.tab', { hasText: /cosine/ })
  .first()
  .waitFor();
await page1().locator('.map td').first().waitFor();
await shot('compare');
await closeAll();

await row(1).click();
await row(8).click({ modifiers: ['ControlOrMeta'] });
await chooseInMenu(page, row(8), 'Try Adapter');
await page1().getByText('Ready, on').waitFor();
await page1().locator('#max_new_tokens').fill('48');
await page1().locator('#prompt').fill('show which files are changed');
await page1().locator('#prompt').press('Control+Enter');
await until(
  async () =>
    (await page1().locator('article .caption').allInnerTexts()).filter((text) =>
      /tokens/.test(text),
    ).length === 3,
  'three answers',
);
await shot('playground');

await browser.close();
await server.stop();
rmSync(workspace, { recursive: true });
