// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  startPages,
  THEMES,
} from './openPage.mjs';
import { READY, state, tell } from './playgrounds.mjs';

let pages;
before(async () => {
  pages = await startPages('playground', { base: '/models/tiny' });
});
after(() => pages?.close());

async function open(options) {
  const shown = await pages.open(options);
  await tell(shown.page, state(READY));
  await shown.page.getByText('Ready, on libtensorflow on CPU').waitFor();
  return shown;
}

async function answer(page, texts) {
  await page.locator('#prompt').fill('Undo the last commit');
  await page.locator('#prompt').press('Control+Enter');
  await page.waitForFunction(() => window.sent.some(({ kind }) => kind === 'ask'));
  const [{ columns }] = (await sent(page, 'ask')).slice(-1);
  for (const [i, { id }] of columns.entries()) {
    for (const text of texts[i].match(/\S+\s*/g)) await tell(page, { kind: 'text', id, text });
    await tell(page, { kind: 'done', id, tokens: 8, seconds: 2, stopped: false });
  }
  return columns;
}

const TEXTS = [
  'You can undo the last commit with git reset.',
  'git reset --soft HEAD~1',
  'You can undo the last commit with git reset.',
];

for (const theme of THEMES) {
  test(`${theme}: shows answers side by side without errors or serious axe findings`, async () => {
    const shown = await pages.open({ theme });
    const { page } = shown;
    await tell(page, state({ kind: 'loading', fraction: 0.4 }));
    await page.getByText('Loading the model, 40%').waitFor();
    await assertAccessible(page);
    await tell(page, state(READY));
    await answer(page, TEXTS);
    await page.getByText('8 tokens, 4 tokens/s · same as the base model').waitFor();
    await eventually(async () =>
      assert.match((await page.locator('mark').allInnerTexts()).join(' '), /--soft HEAD~1/),
    );
    await screenshot(page, `playground-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('starts an answer in the first line of its card', async () => {
  const shown = await open();
  const { page } = shown;
  const texts = () => page.locator('.text').allInnerTexts();
  await eventually(async () => {
    const shownTexts = await texts();
    assert.equal(shownTexts.length, TEXTS.length);
    for (const text of shownTexts) assert.match(text, /^\S/);
  });
  await answer(page, TEXTS);
  await eventually(async () => assert.deepEqual(await texts(), TEXTS));
  await shown.close();
});

test('queries the base and each adapter at its scale, and again after its scale changes', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('#scale-1').fill('0.5');
  await page.locator('#system').fill('Answer with one command.');
  const columns = await answer(page, TEXTS);
  assert.deepEqual(
    columns.map(({ adapter, scale }) => [adapter, scale]),
    [
      [null, 1],
      [0, 1],
      [1, 0.5],
    ],
  );
  await page.locator('#scale-0').fill('2');
  await page.waitForFunction(() => window.sent.filter(({ kind }) => kind === 'ask').length === 2);
  const [, again] = await sent(page, 'ask');
  assert.deepEqual(
    again.columns.map(({ adapter, scale }) => [adapter, scale]),
    [[0, 2]],
  );
  assert.deepEqual(again.settings, {
    prompt: 'Undo the last commit',
    system: 'Answer with one command.',
    chat: true,
    temperature: 0,
    seed: 0,
    max_new_tokens: 128,
    row: null,
    tools: null,
    images: [],
  });
  await page.locator('#temperature').fill('0.8');
  await page.locator('#temperature').press('Tab');
  await page.waitForFunction(() => window.kept.settings.temperature === 0.8);
  await page.locator('#temperature').fill('9');
  await page.locator('#temperature').press('Enter');
  await eventually(async () =>
    assert.equal(await page.locator('#temperature').inputValue(), '0.8'),
  );
  await eventually(async () =>
    assert.deepEqual(await page.evaluate(() => window.kept.scales), [2, 0.5]),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('stops, shows failed answers, removes an adapter, copies, and restores a prompt', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('select').selectOption('0');
  await page.waitForFunction(
    () =>
      document.querySelector('#prompt').value ===
      'Undo the last commit but keep its changes staged',
  );
  await page.locator('vscode-button#ask:not([disabled])').click();
  await page.waitForFunction(() => window.sent.some(({ kind }) => kind === 'ask'));
  const [{ columns }] = await sent(page, 'ask');
  await page.locator('vscode-button#stop:not([disabled])').click();
  await eventually(async () =>
    assert.deepEqual(
      (await sent(page, 'stop'))[0].ids,
      columns.map(({ id }) => id),
    ),
  );
  await tell(page, { kind: 'done', id: columns[0].id, tokens: 3, seconds: 1, stopped: true });
  await tell(page, { kind: 'failed', id: columns[1].id, message: 'The prompt has 900 tokens.' });
  await page.getByText('stopped after 3 tokens').waitFor();
  await page.getByText('The prompt has 900 tokens.').waitFor();
  await page.getByRole('button', { name: 'Remove Plain words to git' }).click();
  await eventually(async () =>
    assert.deepEqual(await sent(page, 'removeAdapter'), [{ kind: 'removeAdapter', adapter: 0 }]),
  );
  await page.locator('vscode-button', { hasText: 'Add Adapter' }).click();
  await page.locator('vscode-button', { hasText: 'Copy as Markdown' }).click();
  await eventually(async () => assert.equal((await sent(page, 'addAdapter')).length, 1));
  await eventually(async () =>
    assert.match(
      (await sent(page, 'copyText'))[0].text,
      /^\| Prompt \| Undo the last commit but keep/,
    ),
  );
  await tell(page, state({ kind: 'failed', message: 'The base cannot be read.' }));
  await page.getByText('The base cannot be read.').waitFor();
  await page.locator('vscode-button', { hasText: 'Try Again' }).click();
  await eventually(async () => assert.equal((await sent(page, 'reload')).length, 1));
  await assertQuiet(shown);
  await shown.close();
});

test('keeps two changes made within one frame', async () => {
  const shown = await open();
  const { page } = shown;
  await page.evaluate(() => {
    const set = (id, value, event) => {
      const field = document.querySelector(id);
      field.value = value;
      field.dispatchEvent(new window.Event(event));
    };
    set('#seed', '5', 'change');
    set('#prompt', 'both', 'input');
    set('#scale-0', '2', 'input');
    set('#scale-1', '0.5', 'input');
  });
  await eventually(async () =>
    assert.deepEqual(
      await page.evaluate(() => [
        window.kept.settings.seed,
        window.kept.settings.prompt,
        window.kept.scales,
      ]),
      [5, 'both', [2, 0.5]],
    ),
  );
  await shown.close();
});

test('keeps letters of every direction in answers, and writes controls of the direction out', async () => {
  const shown = await open();
  const { page } = shown;
  const rtl = 'שלום\u200f. العربية می\u200cخواهم';
  await answer(page, [rtl, `\u202e${rtl}\u2069\u200b`, rtl]);
  await eventually(async () =>
    assert.deepEqual(
      (await page.locator('.written').allTextContents()).slice(0, 2).map((text) => text.trim()),
      [rtl, `\\u202e${rtl}\\u2069\\u200b`],
    ),
  );
  await assertQuiet(shown);
  await shown.close();
});

const rowOf = (index, change = {}) => ({
  kind: 'row',
  row: {
    index,
    count: 3,
    line: 10 + index,
    system: 'Answer with\none git command.',
    before: [{ role: 'user', text: 'hi' }],
    prompt: `question ${index}`,
    expected: 'git reset --soft HEAD~1',
    changed: false,
    ...change,
  },
});

test('begins with a row of the run as it was trained, and steps through the others', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await tell(page, { ...state(READY), rows: true });
  assert.deepEqual(await sent(page, 'row'), [{ kind: 'row', index: 0 }]);
  await tell(page, rowOf(0));
  await page.getByText('Row 1 of 3 (line 10)').waitFor();
  assert.equal(await page.locator('#prompt').inputValue(), 'question 0');
  assert.equal(await page.locator('#system').inputValue(), 'Answer with\none git command.');
  await page.locator('.before dd', { hasText: 'hi' }).waitFor();
  await page.locator('#ask').click();
  const [{ settings, columns }] = await sent(page, 'ask');
  assert.deepEqual(
    [settings.row, settings.system, settings.chat],
    [0, 'Answer with\none git command.', true],
  );
  for (const [i, { id }] of columns.entries()) {
    await tell(page, { kind: 'text', id, text: TEXTS[i] });
    await tell(page, { kind: 'done', id, tokens: 8, seconds: 2, stopped: false });
  }
  await eventually(async () => assert.equal(await page.locator('.card .exact').count(), 1));
  await page.locator('.expected', { hasText: 'git reset --soft HEAD~1' }).waitFor();
  await assertAccessible(page);
  await page.getByRole('button', { name: 'Next row' }).click();
  await tell(page, rowOf(1, { changed: true }));
  await page.getByText('The dataset has changed since the run.').waitFor();
  assert.equal(await page.locator('#prompt').inputValue(), 'question 1');
  await eventually(async () => assert.equal(await page.locator('.card .exact').count(), 0));
  await page.locator('#prompt').fill('something else');
  await eventually(async () => assert.equal(await page.locator('.expected').count(), 0));
  await page.getByRole('button', { name: 'Ask without the row' }).click();
  await page.locator('#ask').click();
  await eventually(async () => assert.equal((await sent(page, 'ask')).at(-1).settings.row, null));
  await assertQuiet(shown);
  await shown.close();
});

test('keeps what was written when it is shown again, and says why there are no rows', async () => {
  const first = await pages.open();
  await tell(first.page, { ...state(READY), rows: true });
  await tell(first.page, rowOf(0));
  await first.page.getByText('Row 1 of 3').waitFor();
  await first.page.locator('#prompt').fill('my own question');
  const kept = await first.page.evaluate(() => window.kept);
  await first.close();
  const again = await pages.open({ state: kept });
  await tell(again.page, { ...state(READY), rows: true });
  assert.deepEqual(await sent(again.page, 'row'), [{ kind: 'row', index: 0 }]);
  await tell(again.page, rowOf(0));
  await again.page.getByText('Row 1 of 3').waitFor();
  assert.equal(await again.page.locator('#prompt').inputValue(), 'my own question');
  await tell(again.page, { kind: 'rowFailed', message: 'The dataset cannot be read.' });
  await again.page.getByText('The dataset cannot be read.').waitFor();
  await assertQuiet(again);
  await again.close();
});
