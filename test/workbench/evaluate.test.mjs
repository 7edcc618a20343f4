// Evaluate in a real workbench: suites, models, the page of the result, blind votes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  checkThemes,
  chooseInSubmenu,
  commandPick,
  inputFocused,
  LIMIT,
  openWorkbench,
  saveAs,
  until,
} from './page.mjs';
import { makeWorkspace, root } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const WORDS = ['one', 'two', 'three', 'four', 'five', 'six'];

describe('Evaluate', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const results = path.join(workspace, '.lora', 'evaluations');
  let workbench, page;
  const body = () => d.webview(page);
  const button = (name) => body().locator('vscode-button', { hasText: name });
  const resultFolder = () => path.join(results, readdirSync(results)[0]);
  const votes = () =>
    readFileSync(path.join(resultFolder(), 'votes.jsonl'), 'utf8').trim().split('\n').length;
  /** Accepts a list whose rows are checked as they should be. */
  const acceptList = async (placeholder, picked) => {
    await page.locator(`.quick-input-widget input[placeholder*="${placeholder}"]`).waitFor();
    await inputFocused(page);
    await page.locator('.quick-input-count', { hasText: `${picked} Selected` }).waitFor();
    await page.keyboard.press('Enter');
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeFileSync(
      path.join(workspace, 'lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 4, lora_alpha: 16 },
        training: { max_steps: 60, learning_rate: 0.02 },
        samples: { sample_steps: 0 },
      }),
    );
    const rows = WORDS.map((word) => ({
      suite: 'words',
      prompt: `say ${word}`,
      max_new_tokens: 6,
      check: { kind: 'contains', expected: word },
    }));
    const text = { suite: 'text', text: 'one two three', check: { kind: 'perplexity' } };
    writeFileSync(
      path.join(workspace, 'evals.jsonl'),
      [...rows, text].map((row) => `${JSON.stringify(row)}\n`).join(''),
    );
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(root, 'dist', 'cli.js'), 'train', path.join(workspace, 'lora.json')],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
  });
  after(() => workbench?.close());
  afterEach((test) =>
    d.screenshot(page, path.join(shots, `at-evaluate-${test.name.slice(0, 14)}.png`)),
  );

  it('shows the scores of base and adapter on a suite, as the engine has written them', async () => {
    const row = page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row', { hasText: 'r4' })
      .first();
    await row.waitFor();
    await chooseInSubmenu(page, row, 'Adapter', 'Evaluate');
    await acceptList('suites of questions', 1);
    await acceptList('what to evaluate', 2);
    await page.locator('.tab.active', { hasText: 'Evaluation of evals.jsonl' }).waitFor();
    await body().locator('#row-6').waitFor();
    const { scores, columns } = JSON.parse(
      readFileSync(path.join(resultFolder(), 'evaluation.json'), 'utf8'),
    );
    assert.deepEqual(
      columns.map(({ kind }) => kind),
      ['base', 'adapter'],
    );
    const words = scores.find(({ suite }) => suite === 'words');
    const cells = body().locator('.scores tbody tr', { hasText: 'words' }).locator('td');
    const percent = new Intl.NumberFormat('en', { style: 'percent' });
    for (const [i, { value }] of words.columns.entries())
      assert.ok((await cells.nth(i).innerText()).startsWith(percent.format(value)));
    await body().locator('#row-0').click();
    await body().locator('.side').getByText('say one').waitFor();
    assert.equal(await body().locator('.answers article').count(), 2);
    await checkThemes(workbench.server, page, 'evaluation');
  });

  it('saves the report of the engine', async () => {
    const file = path.join(workspace, 'report.md');
    await button('Save as Markdown').click();
    await saveAs(page, file);
    await body().getByText(`Saved: ${file}`).waitFor();
    assert.match(readFileSync(file, 'utf8'), /\| words/);
  });

  it('keeps blind votes, rates the models after them, and opens the result again', async () => {
    await button('Vote Blind').click();
    await body().getByText('Pair 1 of').waitFor();
    await button('Left Is Better').click();
    await body().getByText('Pair 2 of').waitFor();
    await page.keyboard.press('2');
    await body().getByText('Pair 3 of').waitFor();
    await page.keyboard.press('u');
    await body().getByText('Pair 2 of').waitFor();
    await button('End Voting').click();
    await body().locator('.ratings tbody tr').nth(1).waitFor();
    await until(() => votes() === 1, 'the vote in its file');
    await d.runCommand(page, 'View: Close Editor');
    await page.locator('.tab', { hasText: 'Evaluation of' }).waitFor({ state: 'detached' });
    await commandPick(page, 'LoRA: Open Evaluation', ['Select an evaluation', 'evals.jsonl']);
    await body().locator('.ratings tbody tr').nth(1).waitFor();
  });
});
