// npm run bench:first: what a new user waits for, in a real workbench with the real SmolLM2-135M
// and the example's data: from an empty window to a running training, and from its end to the first
// answer of its adapter. Times begin with the first click, and contain no thinking. --rounds N.
import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { smollm2Path } from '../../scripts/models.mjs';
import * as d from '../workbench/drive.mjs';
import { packageVsix, until } from '../workbench/page.mjs';
import { installWorkbench, root, runsOf, runtimeFolder } from '../workbench/workspace.mjs';
import { median, processorSeconds } from './processorTime.mjs';

const { values: args } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });

/** A folder with a model and a dataset, as a new user has it. */
async function makeFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-first-'));
  const example = path.join(root, 'examples', 'git-commands');
  cpSync(path.join(example, 'train.jsonl'), path.join(folder, 'train.jsonl'));
  cpSync(await smollm2Path(console.log), path.join(folder, 'SmolLM2-135M-Instruct.gguf'));
  return folder;
}

/** Notes how long it took from `start` on until something was there. */
function stopwatch() {
  const times = {};
  let [began, used] = [0, 0];
  return {
    times,
    start: () => ([began, used] = [performance.now(), processorSeconds()]),
    note: (what) => (times[what] = [(performance.now() - began) / 1000, processorSeconds() - used]),
  };
}

/** The button and the keys of the wizard; each Enter takes what it suggests. */
async function train(page, { start, note }) {
  const button = page.locator('.welcome-view-content .monaco-button', { hasText: 'Train Adapter' });
  start();
  await d.openView(page, 'LoRA');
  await button.click();
  for (const title of ['Base', 'Dataset', 'Rank', 'Target', 'Start']) {
    await page.locator('.quick-input-title', { hasText: title }).waitFor();
    await page.locator('.quick-input-list .monaco-list-row.focused').waitFor();
    await page
      .locator('.quick-input-widget .monaco-progress-container.done')
      .waitFor({ state: 'attached' });
    if (title === 'Base') note('the first question');
    if (title === 'Start') note('the last question');
    await page.keyboard.press('Enter');
  }
  const dashboard = d.webview(page);
  await dashboard.locator('h1').waitFor();
  note('the dashboard');
  await dashboard.locator('.chart-loss .plot:not(.no-values) canvas').waitFor();
  await dashboard.locator('.tile-loss .value', { hasText: /\d/ }).waitFor();
  note('the first step');
}

/** Stops the run, which saves its adapter. */
async function stop(page, folder) {
  await d.webview(page).getByRole('button', { name: 'Stop' }).first().click();
  await until(() => runsOf(folder)[0]?.record?.state === 'stopped', 'the end of the run');
}

/** One click and Ctrl+Enter: the prompt is a row of the validation set. */
async function ask(page, { start, note }) {
  const button = d.webview(page).getByRole('button', { name: 'Try Adapter' }).first();
  await button.waitFor();
  start();
  await button.click();
  await page.locator('.tab.active', { hasText: 'Try on' }).waitFor();
  const playground = d.webview(page);
  const prompt = playground.locator('#prompt');
  await until(async () => (await prompt.inputValue()) !== '', 'a prompt');
  note('the prompt');
  await prompt.press('Control+Enter');
  const answers = playground.locator('article:not(.expected)');
  await answers.locator('.text', { hasText: /\S/ }).first().waitFor();
  note('the first token');
  const complete = async () =>
    (await answers.locator('.caption').allInnerTexts()).filter((text) => /tokens/.test(text))
      .length;
  await until(async () => (await complete()) > 0, 'an answer');
  note('the first answer');
  await until(async () => (await complete()) === 2, 'both answers');
  note('both answers');
}

async function round(vsix) {
  const folder = await makeFolder();
  const server = await d.launchServer({
    dir: installWorkbench(),
    workspace: folder,
    vsix: [vsix],
    settings: { 'lora.runtime.path': runtimeFolder() },
  });
  let browser;
  try {
    const opened = await d.openPage(server);
    browser = opened.browser;
    const [training, asking] = [stopwatch(), stopwatch()];
    await train(opened.page, training);
    await stop(opened.page, folder);
    await ask(opened.page, asking);
    return { training: training.times, asking: asking.times };
  } finally {
    await browser?.close();
    await server.stop();
  }
}

const TITLES = {
  training: 'From an empty window to a running training: two clicks, five times Enter',
  asking: 'From the end of a run to an answer: one click, Ctrl+Enter',
};
const vsix = packageVsix();
const rounds = [];
for (let i = 0; i < Number(args.rounds); i++) rounds.push(await round(vsix));
for (const [part, title] of Object.entries(TITLES)) {
  console.log(`\n${title}\n\n| until | seconds | of the processor |\n| --- | --- | --- |`);
  for (const what of Object.keys(rounds[0][part])) {
    const [wall, processor] = [0, 1].map((i) => median(rounds.map((one) => one[part][what][i])));
    console.log(`| ${what} | ${wall.toFixed(2)} | ${processor.toFixed(2)} |`);
  }
}
