// The Data page in a real workbench: rows of a file from the Explorer, of a folder and of the Hub,
// and what is written: edits, excluded rows, a split, and a recipe of Train Adapter.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { startHub } from '../support/hub.mjs';
import * as d from './drive.mjs';
import {
  checkThemes,
  chooseInMenu,
  LIMIT,
  packageVsix,
  palette,
  readJson,
  until,
} from './page.mjs';
import { installWorkbench, makeWorkspace, root, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const ROWS = 40;
const row = (n) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `How much is ${n} times 3? ${'Count well. '.repeat(n % 5)}` },
      { role: 'assistant', content: `It is ${3 * n}.` },
    ],
  });
const PARQUET = Buffer.from(
  parquetWriteBuffer({
    columnData: [
      { name: 'question', data: ['from the Hub?', 'and again?'] },
      { name: 'answer', data: ['yes', 'yes'] },
    ],
  }),
);

describe('the Data page', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const data = path.join(workspace, 'rows.jsonl');
  const lines = () => readFileSync(data, 'utf8').trim().split('\n');
  let hub, server, browser, page;
  const frame = () => d.webview(page);
  const rows = () => frame().locator('.row .number');
  const rowOf = (number) =>
    frame().locator('.row', {
      has: frame().locator('.number', { hasText: new RegExp(`^${number}$`) }),
    });
  /** Waits until these rows are shown, and no others. */
  const showsOnly = (number) =>
    until(
      async () => (await rows().allTextContents()).join() === String(number),
      `row ${number} alone`,
    );
  const press = (name) => frame().getByRole('button', { name, exact: true }).click();
  const title = (text) => page.locator('.quick-input-title', { hasText: text }).waitFor();
  const choose = async (step, label) => {
    await title(step);
    await page
      .locator('.quick-input-widget .monaco-progress-container.done')
      .waitFor({ state: 'attached' });
    await page.locator('.quick-input-list .monaco-list-row', { hasText: label }).first().click();
  };
  /** A row of a list without a title. */
  const pickOf = async (placeholder, label) => {
    await page.locator(`.quick-input-widget input[placeholder*="${placeholder}"]`).waitFor();
    await page.locator('.quick-input-list .monaco-list-row', { hasText: label }).first().click();
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    mkdirSync(path.join(workspace, 'parts'));
    writeFileSync(path.join(workspace, 'parts', 'a.jsonl'), '{"text": "first part"}\n');
    writeFileSync(path.join(workspace, 'parts', 'b.csv'), 'text\nsecond part\n');
    writeFileSync(data, `${Array.from({ length: ROWS }, (_, i) => row(i)).join('\n')}\n{"torn\n`);
    writeFileSync(
      path.join(workspace, 'lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'rows.jsonl',
        training: { max_length: 64 },
      }),
    );
    writeFileSync(
      path.join(workspace, 'faq.csv'),
      'nr,frage,antwort\n1,Wer?,Ich.\n2,Wo?,Hier.\n3,Wann?,Jetzt.\n',
    );
    hub = await startHub({
      files: {},
      dataset: {
        commit: 'c0ffee'.padEnd(40, '0'),
        files: { 'default/train/0000.parquet': PARQUET, 'default/test/0000.parquet': PARQUET },
      },
    });
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder(), 'files.autoSave': 'off' },
      env: {
        HF_ENDPOINT: hub.endpoint,
        HF_TOKEN: '',
        LORA_DATASETS_HOME: mkdtempSync(path.join(tmpdir(), 'lora-datasets-')),
      },
    });
    ({ browser, page } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await hub?.close();
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-dataset-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('opens from the Explorer, with the rows, their tokens and their statistics', async () => {
    await palette(page, 'File: Focus on Files Explorer');
    const file = page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'rows.jsonl' });
    await file.waitFor();
    await chooseInMenu(page, file, 'Open Dataset');
    await rows().first().waitFor();
    await frame()
      .getByText(`${ROWS + 1} rows`)
      .first()
      .waitFor();
    await frame().getByText('Tokens of tiny, at most 64 a row').waitFor();
    await frame().getByText('Rows by script').waitFor();
    await rowOf(1).click();
    await frame().locator('.tokens mark').first().waitFor();
  });

  it('has no serious axe findings in four themes, also in a narrow column', async () => {
    await checkThemes(server, page, 'dataset', frame());
    await page.setViewportSize({ width: 900, height: 950 });
    await checkThemes(server, page, 'dataset-narrow', frame());
    await page.setViewportSize({ width: 1500, height: 950 });
  });

  it('searches, and shows the rows with errors', async () => {
    await frame().getByLabel('Search the rows').fill('11 times');
    await frame()
      .getByText(`1 of ${ROWS + 1} rows`)
      .waitFor();
    await showsOnly(12);
    await frame().getByLabel('Search the rows').fill('');
    await frame().getByLabel('Which rows are shown').selectOption('faults');
    await frame().locator('.row .mark.bad').waitFor();
    await showsOnly(ROWS + 1);
    await frame().getByLabel('Which rows are shown').selectOption('all');
    await rowOf(2).waitFor();
    await d.screenshot(page, path.join(shots, 'dataset-found.png'));
  });

  it('excludes a row by the list beside the file, and takes it back', async () => {
    const list = `${data}.excluded.json`;
    await rowOf(2).click();
    await press('Exclude');
    await until(() => readJson(list)?.rows.length === 1, 'the list of excluded rows');
    await frame().locator('.row.excluded').waitFor();
    assert.equal(lines().length, ROWS + 1, 'nothing is deleted');
    await press('Undo');
    await until(() => (readJson(list)?.rows ?? []).length === 0, 'an empty list');
    await frame().locator('.row.excluded').waitFor({ state: 'detached' });
  });

  it('writes an edited row in its place, and takes it back', async () => {
    const before = readFileSync(data, 'utf8');
    await rowOf(3).click();
    await frame().locator('#detail-title', { hasText: 'Line 3' }).waitFor();
    await press('Edit');
    await frame().locator('textarea').last().fill('It is six.');
    await press('Save');
    await until(() => lines()[2].includes('It is six.'), 'the row in the file');
    assert.deepEqual(
      lines().filter((_, i) => i !== 2),
      before
        .trim()
        .split('\n')
        .filter((_, i) => i !== 2),
    );
    await rowOf(3).getByText('It is six.').waitFor();
    await press('Undo');
    await until(() => readFileSync(data, 'utf8') === before, 'the file as it was');
  });

  it('splits the rows into two files', async () => {
    await frame().getByLabel('Which rows are shown').selectOption('faults');
    await press('Exclude These 1');
    await frame().getByText('1 row excluded').waitFor();
    await frame().getByLabel('Which rows are shown').selectOption('all');
    await rowOf(1).waitFor();
    await press('Split…');
    await title('Split Dataset');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('25');
    await page.keyboard.press('Enter');
    const part = (name) => path.join(workspace, `rows.${name}.jsonl`);
    await frame().getByText('Written: rows.train.jsonl').waitFor();
    assert.ok(existsSync(part('train')) && existsSync(part('validation')));
    const count = (name) => readFileSync(part(name), 'utf8').trim().split('\n').length;
    assert.equal(count('train') + count('validation'), ROWS);
  });

  it('trains on a table whose columns have names of their own, with general examples', async () => {
    await palette(page, 'View: Close All Editors');
    await palette(page, 'File: Focus on Files Explorer');
    const file = page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'faq.csv' });
    await chooseInMenu(page, file, 'Open Dataset');
    await frame().locator('.row .mark.bad').first().waitFor();
    await press('Train Adapter…');
    await choose('Base', 'tiny');
    await choose('Columns', 'Prompts with answers');
    await page.locator('.monaco-list-row.focused', { hasText: '1: Wer?' }).waitFor();
    await d.screenshot(page, path.join(shots, 'columns.png'));
    await pickOf('Which column is the prompt', 'frage');
    await pickOf('Which column is the answer', 'antwort');
    await choose('Rank', 'r = 8');
    await choose('Target', 'All linear');
    await choose('Recipe', 'Save as faq.lora.json');
    await choose('Start', 'Add General Examples');
    await choose('General Examples', 'rows.jsonl');
    await choose('Start', 'Edit Recipe');
    const recipe = path.join(workspace, 'faq.lora.json');
    await until(() => readJson(recipe) !== undefined, 'the recipe');
    assert.deepEqual(
      [readJson(recipe).dataset, readJson(recipe).columns],
      [
        [{ path: 'faq.csv' }, { path: 'rows.jsonl', weight: 0.024, columns: {} }],
        { prompt: 'frage', completion: 'antwort' },
      ],
    );
  });

  it('opens a file of a folder, and a dataset on the Hub', async () => {
    await palette(page, 'View: Close All Editors');
    writeFileSync(
      path.join(workspace, 'parts.lora.json'),
      JSON.stringify({ base: 'models/tiny', dataset: ['parts', 'hf://owner/rows'] }),
    );
    await palette(page, 'File: Focus on Files Explorer');
    const recipe = page.locator('.explorer-folders-view .monaco-list-row', {
      hasText: 'parts.lora.json',
    });
    await recipe.waitFor();
    await chooseInMenu(page, recipe, 'Open Dataset');
    await pickOf('Select a dataset', 'parts');
    await pickOf('Select a file', 'b.csv');
    await frame().locator('.row').getByText('second part').waitFor();
    await palette(page, 'View: Close All Editors');
    await d.runCommand(page, 'LoRA: Open Dataset');
    await pickOf('Select a dataset', 'Download from the Hugging Face Hub');
    await title('Dataset of the Hugging Face Hub');
    await page.keyboard.type('owner/rows');
    await page.keyboard.press('Enter');
    await pickOf('Select what is read', 'default / train');
    await frame().locator('.row').getByText('from the Hub?').waitFor();
    await d.screenshot(page, path.join(shots, 'dataset-hub.png'));
    assert.deepEqual(
      hub.starts.map(([name]) => name),
      ['default/train/0000.parquet'],
    );
  });
});
