// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startDataHost } from './dataHost.mjs';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  startPages,
  THEMES,
} from './openPage.mjs';

let pages, host;
before(async () => {
  host = await startDataHost();
  pages = await startPages('data', { file: '/data/train.jsonl', recipe: '', base: '' });
});
after(async () => {
  await pages?.close();
  await host?.close();
});

const chat = (question, answer, system) =>
  JSON.stringify({
    messages: [
      ...(system ? [{ role: 'system', content: system }] : []),
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  });

const LONG =
  'An adapter of low rank adds two thin matrices beside a frozen weight, so that only few numbers are learned: ';
const ROWS = [
  chat('What does a LoRA adapter change?', `${LONG}the sum is small.`, 'Answer in one sentence.'),
  chat('Was ändert ein LoRA-Adapter?', 'Nur zwei schmale Matrizen neben jedem Gewicht.'),
  '{"messages": [{"role": "user", "content": "No answer"}',
  chat('LoRA とは何ですか？', '低ランクのアダプターです。'),
  chat('What does a LoRA adapter change?', `${LONG}the sum is thin.`, 'Answer in one sentence.'),
  chat('Was ändert ein LoRA-Adapter?', 'Nur zwei schmale Matrizen neben jedem Gewicht.'),
  chat('<img src=x onerror=alert(1)> \u202egnp', 'שלום <b>world</b>\nsecond line'),
  ...Array.from({ length: 60 }, (_, i) =>
    chat(`How much is ${i} and ${i * 7}?`, `${i} and ${i * 7} are ${i * 8}.`),
  ),
].join('\n');
const BASE = 'test/fixtures/llama/base';

let files = 0;
async function open({ rows = ROWS, base, maxLength, readOnly, ...options } = {}) {
  const file = await host.file(`train-${++files}.jsonl`, rows);
  const shown = await pages.open(options);
  const own = await host.serve(shown.page, file, { base, maxLength, readOnly });
  await shown.page.locator('.row').first().waitFor();
  return { ...shown, ...own, file };
}

const rowOf = (page, number) =>
  page.locator('.row', { has: page.locator('.number', { hasText: new RegExp(`^${number}$`) }) });

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings`, async () => {
    const shown = await open({ theme, base: BASE, maxLength: 100 });
    const { page } = shown;
    await page.getByText('Rows by script').waitFor();
    await screenshot(page, `data-statistics-${theme}.png`);
    await assertAccessible(page);
    await rowOf(page, 1).click();
    await page.locator('.tokens mark').first().waitFor();
    await screenshot(page, `data-row-${theme}.png`);
    await assertAccessible(page);
    await page.locator('.detail-head vscode-button', { hasText: /^\s*Edit\s*$/ }).click();
    await page.locator('textarea').first().waitFor();
    await screenshot(page, `data-edit-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

const CHATS = 'test/fixtures/qwen3-vl-images/chats';

for (const theme of THEMES) {
  test(`${theme}: shows the images of a row in their places, and why some are not shown`, async () => {
    const user = [
      { type: 'image', image: 'wide.png' },
      { type: 'text', text: 'Which of these is tall?' },
      { type: 'image', image: 'tall.png' },
      { type: 'image', image: '../elsewhere.png' },
    ];
    const rows = [chat(user, 'The second.')].join('\n');
    const shown = await open({ theme, rows });
    const { page, file } = shown;
    const folder = path.dirname(file);
    for (const name of ['wide.png', 'tall.png'])
      await writeFile(path.join(folder, name), await readFile(path.join(CHATS, name)));
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    await rowOf(page, 1).click();
    assert.match(
      await rowOf(page, 1).innerText(),
      /\[wide\.png\] Which of these is tall\? \[tall\.png\] \[elsewhere\.png\]/,
    );
    await page.getByText('outside of the folder').waitFor();
    await eventually(async () => assert.equal(await page.locator('.message img').count(), 2));
    const alts = await page.locator('.message img').evaluateAll((all) => all.map(({ alt }) => alt));
    assert.deepEqual(alts, ['wide.png', 'tall.png']);
    await page.mouse.move(0, 0);
    await screenshot(page, `data-images-${theme}.png`);
    await assertAccessible(page);
    assert.deepEqual(
      asked.filter((url) => !/^data:|codicon\.ttf/.test(url)),
      [],
    );
    await assertQuiet(shown);
    await shown.close();
  });
}

test('shows rows of strangers as text', async () => {
  const shown = await open();
  const { page } = shown;
  await rowOf(page, 7).click();
  await eventually(async () =>
    assert.match(await page.locator('.chat').innerText(), /onerror=alert\(1\)> \\u202egnp/),
  );
  assert.equal(await page.locator('main img').count(), 0);
  assert.doesNotMatch(await page.locator('main').innerHTML(), /\u202e/);
  await assertQuiet(shown);
  await shown.close();
});

test('is moved through by keys, and opens rows', async () => {
  const shown = await open();
  const { page } = shown;
  const grid = page.locator('#grid');
  const active = () =>
    grid.evaluate(
      (own) => document.getElementById(own.getAttribute('aria-activedescendant'))?.ariaRowIndex,
    );
  await grid.focus();
  await eventually(async () => assert.equal(await grid.getAttribute('aria-rowcount'), '68'));
  for (const [key, place] of [
    ['ArrowDown', '3'],
    ['End', '68'],
    ['ArrowUp', '67'],
    ['Home', '2'],
    ['PageDown', null],
  ]) {
    const before = await active();
    await page.keyboard.press(key);
    await eventually(async () =>
      place === null
        ? assert.notEqual(await active(), before)
        : assert.equal(await active(), place),
    );
  }
  await page.keyboard.press('Home');
  await page.keyboard.press('Enter');
  await page.locator('#detail-title', { hasText: 'Line 1' }).waitFor();
  await page.locator('.side').focus();
  await page.keyboard.press('Escape');
  await eventually(async () =>
    assert.equal(await page.evaluate(() => document.activeElement.id), 'grid'),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('searches and filters, and says what is wrong with a pattern', async () => {
  const shown = await open();
  const { page } = shown;
  const numbers = () => page.locator('.row .number').allInnerTexts();
  const field = page.locator('input[type=search]');
  await field.fill('lora');
  await eventually(async () => assert.deepEqual(await numbers(), ['1', '2', '4', '5', '6']));
  await page.locator('select').selectOption('twins');
  await eventually(async () => assert.deepEqual(await numbers(), ['6']));
  await page.locator('select').selectOption('faults');
  await field.fill('');
  await eventually(async () => assert.deepEqual(await numbers(), ['3']));
  await page.getByLabel('Regular expression').click();
  await field.fill('(');
  await page.locator('.said.error', { hasText: 'not valid' }).waitFor();
  await field.fill('^How much is 1\\d and');
  await page.locator('select').selectOption('all');
  await eventually(async () => assert.equal((await numbers()).length, 10));
  await assertQuiet(shown);
  await shown.close();
});

test('edits a text of a row, excludes it, and finds near-duplicates', async () => {
  const shown = await open();
  const { page, file } = shown;
  await rowOf(page, 2).click();
  await page.locator('.detail-head vscode-button', { hasText: /^\s*Edit\s*$/ }).click();
  const text = page.locator('.field textarea').last();
  await text.fill('Nur zwei\n"Matrizen".');
  await page.locator('.edit vscode-button', { hasText: 'Save' }).click();
  await eventually(async () =>
    assert.match(await page.locator('.chat').innerText(), /Nur zwei\n"Matrizen"\./),
  );
  const lines = (await readFile(file, 'utf8')).split('\n');
  assert.equal(
    lines[1],
    ROWS.split('\n')[1].replace(/Nur zwei.*Gewicht\./, 'Nur zwei\\n\\"Matrizen\\".'),
  );
  assert.deepEqual(lines.toSpliced(1, 1), ROWS.split('\n').toSpliced(1, 1));
  await page.locator('.detail-head vscode-button', { hasText: 'Exclude' }).click();
  await rowOf(page, 2).locator('.mark', { hasText: 'excluded' }).waitFor();
  await page.locator('.actions vscode-button', { hasText: 'Find Near-Duplicates' }).click();
  await rowOf(page, 5).locator('.mark', { hasText: 'like 1' }).waitFor();
  assert.equal((await sent(page, 'exclude')).at(-1).isExcluded, true);
  await assertQuiet(shown);
  await shown.close();
});

test('says why rows cannot be edited', async () => {
  const shown = await open({ readOnly: 'rows of csv are not written.' });
  const { page } = shown;
  await rowOf(page, 1).click();
  await page.locator('#detail-title').waitFor();
  await page.getByText('Read-only: rows of csv').waitFor();
  assert.equal(
    await page.locator('.detail-head vscode-button', { hasText: /^\s*Edit\s*$/ }).count(),
    0,
  );
  await assertQuiet(shown);
  await shown.close();
});

test('shows drafts, each to be kept or discarded', async () => {
  const shown = await open();
  const { page, send } = shown;
  const turns = [{ role: 'user', text: 'Draft?' }];
  await send({
    kind: 'drafts',
    isWriting: true,
    drafts: [
      { id: 4, turns, fault: null },
      { id: 5, turns, fault: '"completion" is missing.' },
    ],
  });
  await page.locator('.drafts li').first().waitFor();
  assert.equal(await page.locator('.drafts vscode-button', { hasText: 'Keep' }).count(), 1);
  await assertAccessible(page);
  await page.locator('.drafts vscode-button', { hasText: 'Keep' }).click();
  assert.deepEqual((await sent(page, 'keepDraft')).at(-1), {
    kind: 'keepDraft',
    id: 4,
    isKept: true,
  });
  await assertQuiet(shown);
  await shown.close();
});
