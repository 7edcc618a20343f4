// node --test test/workbench/pages: tools, calls and pairs in the playground
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
import { ADAPTERS, READY, state, tell } from './playgrounds.mjs';

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

const TOOLS = JSON.stringify([
  { type: 'function', function: { name: 'get_weather', parameters: { type: 'object' } } },
]);
const call = (id, name, values) => ({ id, name, arguments: JSON.stringify(values, null, 2) });
const CALLS = [
  call('call00001', 'get_weather', { city: 'Oslo' }),
  call('call00002', 'set_timer', { minutes: 5 }),
];
const partsWith = (change) => ({ content: '', reasoning: '', calls: [], faulty: false, ...change });
const rowWith = (content) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: 'Weather in Oslo?' },
      { role: 'assistant', content },
    ],
  });

/** Asks, and answers each column with these parts. */
async function answerParts(page, answers) {
  await page.locator('#prompt').fill('Weather in Oslo?');
  await page.locator('#prompt').press('Control+Enter');
  await page.waitForFunction(() => window.sent.some(({ kind }) => kind === 'ask'));
  const [{ columns }] = (await sent(page, 'ask')).slice(-1);
  for (const [i, { id }] of columns.entries()) await finish(page, id, answers[i]);
  return columns;
}

async function finish(page, id, { text, ...done }) {
  await tell(page, { kind: 'text', id, text });
  await tell(page, { kind: 'done', id, tokens: 8, seconds: 2, stopped: false, ...done });
}

const CALLING = {
  text: '<tool_call>…</tool_call>',
  parts: partsWith({ reasoning: 'The tool knows.', calls: CALLS }),
  example: rowWith('calls'),
};
const SAYING = (text) => ({ text, parts: partsWith({ content: text }), example: rowWith(text) });

test('offers tools, shows calls and reasoning, and goes on with the results that are typed in', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await tell(page, { ...state(READY, ADAPTERS.slice(0, 1)), tools: TOOLS });
  await page.locator('.tools summary', { hasText: 'get_weather' }).click();
  await eventually(async () => assert.equal(await page.locator('#tools').inputValue(), TOOLS));
  await answerParts(page, [SAYING('It rains.'), CALLING]);
  assert.equal((await sent(page, 'ask'))[0].settings.tools, TOOLS);
  const card = page.getByRole('article', { name: 'Plain words to git' });
  await card.getByRole('group', { name: 'Call of set_timer' }).getByText('"minutes": 5').waitFor();
  await card.getByText('Reasoning').click();
  await card.getByText('The tool knows.').waitFor();
  await eventually(async () =>
    assert.doesNotMatch(await card.locator('.text').innerText(), /<tool_call>/),
  );
  assert.equal(await card.locator('.goOn').getAttribute('disabled'), '');
  await card.getByLabel('Result of get_weather').fill('rain');
  await card.getByLabel('Result of set_timer').fill('ok');
  await card.getByLabel('Result of set_timer').press('Control+Enter');
  await eventually(async () => assert.equal((await sent(page, 'ask')).length, 2));
  const [, { columns }] = await sent(page, 'ask');
  assert.equal(columns.length, 1);
  assert.deepEqual(columns[0].turns, [
    { role: 'assistant', content: '', reasoning: 'The tool knows.', calls: CALLS },
    { role: 'tool', tool_call_id: 'call00001', name: 'get_weather', content: 'rain' },
    { role: 'tool', tool_call_id: 'call00002', name: 'set_timer', content: 'ok' },
  ]);
  await finish(page, columns[0].id, SAYING('It rains in Oslo.'));
  await card.getByText('It rains in Oslo.').waitFor();
  await card.getByRole('group', { name: 'Call of get_weather' }).waitFor();
  await card.locator('.append').click();
  await eventually(async () =>
    assert.deepEqual(await sent(page, 'append'), [
      { kind: 'append', example: rowWith('It rains in Oslo.') },
    ]),
  );
  await assertAccessible(page);
  await assertQuiet(shown);
  await shown.close();
});

test('says that tools are not valid, and takes those of a file', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('.tools summary').click();
  await page.locator('#tools').fill('[{}]');
  await page.getByRole('alert').getByText('This is not a JSON list of tools.').waitFor();
  await assertAccessible(page);
  await page.locator('vscode-button', { hasText: 'Choose File' }).click();
  await eventually(async () => assert.equal((await sent(page, 'chooseTools')).length, 1));
  await tell(page, { kind: 'tools', tools: TOOLS });
  await eventually(async () => assert.equal(await page.locator('#tools').inputValue(), TOOLS));
  await eventually(async () =>
    assert.equal(await page.evaluate(() => window.kept.settings.tools), TOOLS),
  );
  await assertQuiet(shown);
  await shown.close();
});

for (const theme of THEMES) {
  test(`${theme}: shows calls, results and pairs without serious axe findings`, async () => {
    const shown = await pages.open({ theme });
    const { page } = shown;
    await tell(page, { ...state(READY), tools: TOOLS });
    await answerParts(page, [SAYING('It rains.'), CALLING, SAYING('Sun.')]);
    await page.getByLabel('Result of set_timer').waitFor();
    await page.getByText('Reasoning').click();
    await tell(page, { kind: 'appended', rows: 2, file: 'pairs.jsonl' });
    await page.getByText('2 rows appended to pairs.jsonl.').waitFor();
    await screenshot(page, `playground-calls-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('appends the better answer with the others, also of a second answer of one model', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await tell(page, state(READY, ADAPTERS.slice(0, 1)));
  await answerParts(page, [SAYING('Rain.'), SAYING('Sun.')]);
  const card = page.getByRole('article', { name: 'Plain words to git', exact: true });
  await card.locator('.second').click();
  await eventually(async () => assert.equal((await sent(page, 'ask')).length, 2));
  const [, { columns }] = await sent(page, 'ask');
  assert.deepEqual(
    columns.map(({ adapter, seed }) => [adapter, seed]),
    [[0, 1]],
  );
  await finish(page, columns[0].id, SAYING('Snow.'));
  const second = page.getByRole('article', { name: 'Plain words to git, seed 1' });
  await second.getByText('Snow.').waitFor();
  await second.locator('.better').focus();
  await page.keyboard.press('Enter');
  await eventually(async () =>
    assert.deepEqual(await sent(page, 'prefer'), [
      {
        kind: 'prefer',
        chosen: rowWith('Snow.'),
        rejected: [rowWith('Rain.'), rowWith('Sun.')],
      },
    ]),
  );
  await second.getByRole('button', { name: 'Remove Plain words to git, seed 1' }).click();
  await eventually(async () => assert.equal(await page.getByRole('article').count(), 2));
  await tell(page, { kind: 'appended', rows: 2, file: 'pairs.jsonl' });
  await page.getByRole('button', { name: 'Other File…' }).click();
  await eventually(async () => assert.equal((await sent(page, 'otherFile')).length, 1));
  await assertQuiet(shown);
  await shown.close();
});
