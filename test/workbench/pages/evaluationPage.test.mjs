// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import { exampleEvaluation } from '../../support/evaluation.mjs';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  startPages,
  THEMES,
} from './openPage.mjs';

const { briefOf, openedOf, rowsWith } = await tsImport(
  '../../../src/host/evaluation/rowViews.ts',
  import.meta.url,
);
const { Voting } = await tsImport('../../../src/host/evaluation/voting.ts', import.meta.url);

const FOLDER = '/w/.lora/evaluations/20260102-030405-a1b2';
const example = exampleEvaluation();

let pages;
before(async () => {
  pages = await startPages('evaluation', { folder: FOLDER });
});
after(() => pages?.close());

const post = (page, ...messages) =>
  page.evaluate((all) => {
    for (const message of all) window.postMessage(message, '*');
  }, messages);

async function open(options, { evaluation, rows } = example) {
  const shown = await pages.open(options);
  await post(
    shown.page,
    { kind: 'evaluation', name: 'git-commands', evaluation },
    { kind: 'rows', from: 0, rows: rows.map(briefOf), isComplete: true },
  );
  await shown.page.locator('#row-0').waitFor();
  return shown;
}

const questions = (page) => page.locator('.row .question .line:first-child').allInnerTexts();
const count = (page, text) => page.locator('.bar [role=status]', { hasText: text }).waitFor();

function votingOf({ evaluation, rows }) {
  const names = evaluation.columns.map(({ name }) => name);
  return new Voting(evaluation.id, names, rows, []);
}

/** Votes that prefer the trained model. */
function voted(source = example) {
  const voting = votingOf(source);
  for (let i = 0; i < 12; i++) {
    const { id, right } = voting.next();
    voting.vote(id, /^git |top of/.test(right) ? 'right' : 'left', '2026-01-02T04:00:00.000Z');
  }
  return voting;
}

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings: scores, an opened row, votes`, async () => {
    const shown = await open({ theme });
    const { page } = shown;
    await screenshot(page, `evaluation-${theme}.png`);
    await assertAccessible(page);
    await page.locator('#row-1').click();
    await post(page, { kind: 'row', row: openedOf(example.rows[1]) });
    await page.locator('#row-title').waitFor();
    await screenshot(page, `evaluation-row-${theme}.png`);
    await assertAccessible(page);
    const voting = voted();
    await post(page, { kind: 'ballot', ballot: voting.next() });
    await page.locator('#vote-title').waitFor();
    await screenshot(page, `evaluation-vote-${theme}.png`);
    await assertAccessible(page);
    await post(
      page,
      { kind: 'ratings', ratings: voting.ratings(example.rows) },
      { kind: 'ballot', ballot: null },
    );
    await page.locator('#ratings-title').scrollIntoViewIfNeeded();
    await screenshot(page, `evaluation-ratings-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('says in words how each model differs from the first', async () => {
  const shown = await open();
  const { page } = shown;
  const cells = page.locator('.scores tbody tr', { hasText: 'git' }).nth(0).locator('td');
  await eventually(async () => assert.match(await cells.nth(1).innerText(), /83%.*better/s));
  assert.match(await cells.nth(1).innerText(), /\+58 points \(\+40 to \+77\)/);
  assert.match(await cells.nth(1).innerText(), /16 won, 2 lost, 6 tied/);
  const numbers = page.locator('.scores tbody tr', { hasText: 'arithmetic' }).locator('td');
  assert.match(await numbers.nth(1).innerText(), /not enough rows to tell/);
  assert.match(await numbers.nth(1).innerText(), /1 error/);
  assert.match(await numbers.nth(2).innerText(), /the same in every row/);
  await page.getByText('2 changed with the order and count as ties').waitFor();
  await shown.close();
});

test('lists wins, losses, regressions and errors of a model and suite', async () => {
  const shown = await open();
  const { page } = shown;
  await count(page, '40 rows');
  await page.locator('#filter').selectOption('errors');
  await eventually(async () => assert.deepEqual(await questions(page), ['What is 19 + 25?']));
  await page.locator('#filter').selectOption('regressions');
  await page.locator('#suite').selectOption('git');
  await page.locator('#column').selectOption('git-commands');
  const { rows } = example;
  const regressions = rows.slice(0, 24).filter(({ cells }) => {
    const [first, second] = cells.map(({ scores }) => scores.contains);
    return first === 1 && second === 0;
  });
  await count(page, `${regressions.length} of 40 rows`);
  await page.locator('#filter').selectOption('wins');
  await count(page, '16 of 40 rows');
  await page.waitForFunction(() => window.kept.filter === 'wins' && window.kept.column === 1);
  await shown.close();
});

test('searches questions and answers by the host', async () => {
  const shown = await open();
  const { page } = shown;
  await page.getByRole('searchbox').fill('BLAME');
  const [{ text }] = await sent(page, 'find');
  assert.equal(text, 'BLAME');
  await post(page, { kind: 'found', text, rows: rowsWith(example.rows, text) });
  await count(page, '3 of 40 rows');
  await page.getByRole('searchbox').fill('');
  await count(page, '40 rows');
  await shown.close();
});

test('opens a row with the keyboard, beside what is expected, and closes it', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('#grid').focus();
  for (const key of ['ArrowDown', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
  assert.deepEqual(await sent(page, 'open'), [{ kind: 'open', row: 2 }]);
  await post(page, { kind: 'row', row: openedOf(example.rows[2]) });
  const side = page.locator('.side');
  await side.getByText('git push origin --delete feature').first().waitFor();
  assert.deepEqual(await side.locator('.answers article h3').allInnerTexts(), [
    'SmolLM2-135M-Instruct',
    'git-commands',
    'git-commands, step-40',
  ]);
  await side.focus();
  await page.keyboard.press('Escape');
  await side.waitFor({ state: 'detached' });
  await page.locator('#grid:focus').waitFor();
  await assertQuiet(shown);
  await shown.close();
});

test('says what a judge prefers, instead of a score', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('#suite').selectOption('style');
  const answers = page.locator('#row-1 .answer');
  await eventually(async () => assert.match(await answers.nth(1).innerText(), /^as good/));
  assert.match(await answers.nth(2).innerText(), /^worse/);
  assert.match(await answers.nth(0).innerText(), /^\s*A rebase is/);
  await shown.close();
});

test('draws the visible rows of ten thousand', async () => {
  const shown = await open({}, exampleEvaluation(10_000));
  const { page } = shown;
  await count(page, '10,016 rows');
  assert.ok((await page.locator('.row').count()) < 60);
  await page.locator('#grid').focus();
  await page.keyboard.press('End');
  await page.locator('#row-10015').waitFor();
  assert.ok((await page.locator('.row').count()) < 60);
  await shown.close();
});

test('votes without names by keys, takes a vote back, and shows ratings at the end', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('vscode-button', { hasText: 'Vote Blind' }).click();
  await sent(page, 'startVoting');
  const voting = votingOf(example);
  const first = voting.next();
  await post(page, { kind: 'ballot', ballot: first });
  await page.getByText('Pair 1 of').waitFor();
  const text = await page.locator('main').innerText();
  for (const { name } of example.evaluation.columns) assert.ok(!text.includes(name), name);
  await page.keyboard.press('2');
  await page.keyboard.press('1');
  assert.deepEqual(await sent(page, 'vote'), [{ kind: 'vote', id: first.id, choice: 'right' }]);
  voting.vote(first.id, 'right', '2026-01-02T04:00:00.000Z');
  await post(page, { kind: 'ballot', ballot: voting.next() });
  await page.getByText('Pair 2 of').waitFor();
  await page.keyboard.press('u');
  await sent(page, 'undoVote');
  await page.locator('vscode-button', { hasText: 'End Voting' }).click();
  await sent(page, 'endVoting');
  await post(
    page,
    { kind: 'ratings', ratings: voted().ratings(example.rows) },
    { kind: 'ballot', ballot: null },
  );
  await page.locator('.ratings tbody tr').first().getByText('git-commands').waitFor();
  await assertQuiet(shown);
  await shown.close();
});

test('says why there is nothing to show', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await page.getByText('Reading the evaluation…').waitFor();
  await post(page, { kind: 'fault', message: 'There is no result.' });
  await page.getByRole('alert').getByText('There is no result.').waitFor();
  await shown.close();
});
