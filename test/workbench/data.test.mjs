// Editing a dataset in a real workbench: diagnostics on its rows, quick fixes, the status bar.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  hoverShows,
  inputFocused,
  LIMIT,
  openFile,
  packageVsix,
  readJson,
  until,
} from './page.mjs';
import {
  endEngines,
  installWorkbench,
  makeWorkspace,
  root,
  runsOf,
  runtimeFolder,
} from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const ROWS = 100_000;

describe('a dataset in the editor', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const data = path.join(workspace, 'rows.jsonl');
  const row = (n) => JSON.stringify({ prompt: `question ${n}`, completion: `answer ${n}` });
  let server, browser, page;
  const status = () => page.locator('.statusbar-item', { hasText: /examples|in the data/ });

  const fixes = () => page.locator('.action-widget .monaco-list-row');
  /** Applies a quick fix to the line of the cursor. */
  const fix = async (title) => {
    await until(async () => {
      await page.keyboard.press('Control+.');
      return fixes()
        .filter({ hasText: title })
        .first()
        .waitFor({ timeout: 10_000 })
        .then(
          () => true,
          () => page.keyboard.press('Escape').then(() => false),
        );
    }, `the fix ${title}`);
    await fixes().filter({ hasText: title }).first().click();
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeFileSync(
      path.join(workspace, 'rows.lora.json'),
      JSON.stringify(
        { base: 'models/tiny', dataset: 'rows.jsonl', training: { max_length: 24 }, labels: 'all' },
        null,
        2,
      ),
    );
    writeFileSync(
      path.join(workspace, 'patterns.lora.json'),
      JSON.stringify(
        { base: 'models/tiny', dataset: 'few.jsonl', lora: { rank_pattern: { q_prj: 4 } } },
        null,
        2,
      ),
    );
    writeFileSync(path.join(workspace, 'few.jsonl'), `${[row(1), row(2)].join('\n')}\n`);
    writeFileSync(
      path.join(workspace, 'many.lora.json'),
      JSON.stringify({ base: 'models/tiny', dataset: 'many.jsonl' }),
    );
    writeFileSync(
      data,
      `${[row(1), row(2), row(1), row(3), row(1), JSON.stringify({ prompt: 'a much longer question '.repeat(8), completion: 'yes' })].join('\n')}\n`,
    );
    writeFileSync(
      path.join(workspace, 'many.jsonl'),
      `${Array.from({ length: ROWS }, (_, i) => row(i)).join('\n')}\n{"prompt": "torn"\n`,
    );
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder(), 'files.autoSave': 'off' },
    });
    ({ browser, page } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    endEngines(workspace);
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-data-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('marks rows with problems, and shows examples and tokens in the status bar', async () => {
    await openFile(page, 'rows.jsonl');
    await status()
      .filter({ hasText: /6 examples · \d+ tokens, \d+%\s?trained on/ })
      .waitFor();
    await until(
      async () => (await page.locator('.squiggly-warning').count()) >= 3,
      'the diagnostics',
    );
    await hoverShows(page, status(), 'Lengths in tokens');
    await d.screenshot(page, path.join(shots, 'data.png'));
    await page.keyboard.press('Escape');
  });

  it('marks an error while it is typed, before the file is saved', async () => {
    await page.locator('.view-line').first().click();
    await page.keyboard.press('Control+End');
    await page.keyboard.type('{"prompt": 7}');
    await page.locator('.squiggly-error').first().waitFor();
    await page.locator('.statusbar-item', { hasText: 'in the data' }).waitFor();
    assert.doesNotMatch(readFileSync(data, 'utf8'), /: 7/);
    await page.keyboard.press('Home');
    await page.keyboard.press('Shift+End');
    await page.keyboard.press('Delete');
    await status().filter({ hasText: 'examples' }).waitFor();
  });

  it('removes duplicate rows and raises max_length with quick fixes', async () => {
    await page.keyboard.press('Control+g');
    await inputFocused(page);
    await page.keyboard.type('3');
    await page.keyboard.press('Enter');
    await fix('Remove all 2 duplicate rows');
    await status().filter({ hasText: '4 examples' }).waitFor();
    await page.keyboard.press('Control+s');
    await until(
      () => readFileSync(data, 'utf8').trim().split('\n').length === 4,
      'four rows on disk',
    );
    assert.deepEqual(readFileSync(data, 'utf8').split('\n').slice(0, 3), [row(1), row(2), row(3)]);
    await page.keyboard.press('Control+g');
    await inputFocused(page);
    await page.keyboard.type('4');
    await page.keyboard.press('Enter');
    await fix('Raise max_length to');
    await page.locator('.tab', { hasText: 'rows.lora.json' }).click();
    await page.locator('.tab.active', { hasText: 'rows.lora.json' }).waitFor();
    await page.keyboard.press('Control+s');
    await until(
      () => readJson(path.join(workspace, 'rows.lora.json'))?.training.max_length > 24,
      'the recipe',
    );
    await page.locator('.tab', { hasText: 'rows.jsonl' }).click();
    await until(
      async () => (await page.locator('.squiggly-warning').count()) === 0,
      'no diagnostics',
    );
  });

  it('removes trailing commas, and all rows with errors, with quick fixes', async () => {
    const add = async (text) => {
      await page.keyboard.press('Control+End');
      await page.keyboard.type(text);
      await page.locator('.squiggly-error').first().waitFor();
    };
    await add('{"prompt": "a", "completion": "b",}');
    await fix('Remove trailing commas');
    await status().filter({ hasText: '5 examples' }).waitFor();
    await add('\n{"prompt": 7}\n{"prompt": 8}');
    await status().filter({ hasText: 'in the data' }).waitFor();
    await fix('Remove all 2 rows with errors');
    await status().filter({ hasText: '5 examples' }).waitFor();
    await page.keyboard.press('Control+s');
    await until(
      () => readFileSync(data, 'utf8').trim().endsWith('{"prompt": "a", "completion": "b"}'),
      'the repaired row on disk',
    );
  });

  it('corrects a misspelled key in all rows with a quick fix', async () => {
    await page.keyboard.press('Control+End');
    for (const text of [
      '\n{"promt": "c", "completion": "d"}',
      '\n{"promt": "e", "completion": "f"}',
    ])
      await page.keyboard.type(text);
    await page.locator('.squiggly-error').first().waitFor();
    await fix('Rename “promt” to “prompt” in all 2 rows');
    await status().filter({ hasText: '7 examples' }).waitFor();
    await page.keyboard.press('Control+s');
    await until(
      () => readFileSync(data, 'utf8').trim().endsWith('{"prompt": "e", "completion": "f"}'),
      'the corrected rows on disk',
    );
  });

  it('leaves out rows without a label with a quick fix', async () => {
    const recipe = path.join(workspace, 'long.lora.json');
    const long = { prompt: 'many words '.repeat(30), completion: 'lost' };
    writeFileSync(path.join(workspace, 'long.jsonl'), `${row(1)}\n${JSON.stringify(long)}\n`);
    writeFileSync(
      recipe,
      '{ "base": "models/tiny", "dataset": "long.jsonl", "training": { "max_length": 32 } }\n',
    );
    await openFile(page, 'long.lora.json');
    await openFile(page, 'long.jsonl');
    await page.locator('.squiggly-error').first().waitFor();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('ArrowUp');
    await fix('Leave out rows without a label');
    await page.locator('.tab', { hasText: 'long.lora.json' }).click();
    await page.keyboard.press('Control+s');
    await until(() => readJson(recipe)?.unlabelled_rows === 'skip', 'the recipe');
  });

  it('marks in the recipe what a training would warn of', async () => {
    await openFile(page, 'patterns.lora.json');
    await page.locator('.squiggly-warning').first().waitFor();
    await hoverShows(
      page,
      page.locator('.view-line span span', { hasText: 'rank_pattern' }),
      'q_prj',
    );
  });

  it('refuses to start a run that its data would stop, marks it once, and forgets deleted files', async () => {
    await d.runCommand(page, 'View: Close All Editors');
    const problems = page.locator('.statusbar-item[id="status.problems"] a');
    const shows = (pattern) =>
      until(async () => pattern.test(await problems.getAttribute('aria-label')), `${pattern}`);
    await shows(/No Problems/);
    const faulty = path.join(workspace, 'faulty.jsonl');
    writeFileSync(faulty, `${row(1)}\n{"prompt": 7, "completion": "x"}\n`);
    writeFileSync(
      path.join(workspace, 'faulty.lora.json'),
      JSON.stringify({ base: 'models/tiny', dataset: 'faulty.jsonl', training: { max_steps: 2 } }),
    );
    await openFile(page, 'faulty.lora.json');
    await shows(/^Errors: 1$/);
    await d.runCommand(page, 'LoRA: Run Recipe');
    const [refusal] = await d.notifications(page, /faulty\.jsonl/);
    assert.match(refusal.text, /The data has 1 error/);
    await d.screenshot(page, path.join(shots, 'refused-data.png'));
    await shows(/^Errors: 1$/);
    assert.deepEqual(runsOf(workspace), []);
    rmSync(faulty);
    await shows(/No Problems|^Errors: 1$/); // that there is no dataset is a problem of the recipe
    rmSync(path.join(workspace, 'faulty.lora.json'));
    await shows(/No Problems/);
  });

  it(`stays responsive while it reads ${ROWS.toLocaleString('en')} rows`, async () => {
    await openFile(page, 'many.jsonl');
    await page.locator('.view-line').first().click();
    await page.keyboard.press('Control+Home');
    for (const letter of 'xyz') {
      // each change starts reading the rows again
      await page.keyboard.type(letter);
      await page.locator('.view-line', { hasText: letter }).first().waitFor();
      await page.waitForTimeout(900);
    }
    for (let i = 0; i < 3; i++) await page.keyboard.press('Backspace');
    await page.locator('.statusbar-item', { hasText: '1 error in the data' }).waitFor();
    await page.keyboard.press('Control+End');
    await page.locator('.squiggly-error').first().waitFor();
  });
});
