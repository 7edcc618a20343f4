// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tableRow } from '../../support/tableRow.mjs';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  startPages,
  THEMES,
} from './openPage.mjs';

let pages;
before(async () => {
  pages = await startPages('runs', {});
});
after(() => pages?.close());

const ROWS = [
  tableRow('night', 8, 0.397, { tags: ['good'] }),
  tableRow('r16 · 0.405', 16, 0.405),
  tableRow('git r 4', 4, 0.41, { tags: ['good'], sweep: 'git' }),
  tableRow('git r 1', 1, 0.62, { sweep: 'git' }),
];

async function open(options) {
  const shown = await pages.open(options);
  await shown.page.evaluate((rows) => window.postMessage({ kind: 'runs', rows }, '*'), ROWS);
  await shown.page.locator('tbody tr').nth(3).waitFor();
  return shown;
}
const names = (page) => page.locator('tbody button.link').allInnerTexts();
const shows = (page, expected) =>
  eventually(async () => assert.deepEqual(await names(page), expected));

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings, with the columns and groups open`, async () => {
    const shown = await open({ theme });
    const { page } = shown;
    await page.locator('#group').selectOption('r');
    await page.locator('tr.group').nth(3).waitFor();
    await page.locator('.columns summary').click();
    await page.getByLabel('Targets').waitFor();
    await screenshot(page, `runs-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('sorts by a column, chooses columns, and keeps both', async () => {
  const shown = await open();
  const { page } = shown;
  await shows(page, ['r16 · 0.405', 'night', 'git r 4', 'git r 1']);
  await page.getByRole('button', { name: 'Loss' }).click();
  await shows(page, ['night', 'r16 · 0.405', 'git r 4', 'git r 1']);
  await page.locator('.columns summary').click();
  await page.getByRole('checkbox', { name: 'Targets' }).check();
  await page.getByRole('checkbox', { name: 'Dataset' }).uncheck();
  await page.locator('thead th', { hasText: 'Targets' }).waitFor();
  await page.waitForFunction(
    () => window.kept.columns.includes('targets') && !window.kept.columns.includes('dataset'),
  );
  await page.locator('thead th', { hasText: 'Dataset' }).waitFor({ state: 'detached' });
  await shown.close();
});

test('sorts by the score of the suites, the best first', async () => {
  const shown = await open();
  const { page } = shown;
  const scored = ROWS.map((row, i) => ({
    ...row,
    numbers: { ...row.numbers, suites: [0.5, 0.82, null, 0.7][i] },
  }));
  await page.evaluate((rows) => window.postMessage({ kind: 'runs', rows }, '*'), scored);
  await page.locator('.columns summary').click();
  await page.getByRole('checkbox', { name: 'Suite score' }).check();
  await page.getByRole('button', { name: 'Suite score' }).click();
  await shows(page, ['r16 · 0.405', 'git r 1', 'night', 'git r 4']);
  await page.locator('tbody tr').first().getByText('82%').waitFor();
  await shown.close();
});

test('groups by tag and sweep, with the lowest loss of each group', async () => {
  const shown = await open();
  const { page } = shown;
  const heads = () => page.locator('tr.group').allInnerTexts();
  await page.locator('#group').selectOption('tags');
  await eventually(async () =>
    assert.deepEqual(await heads(), [
      '#good: 2 runs, lowest loss 0.397',
      'Other: 2 runs, lowest loss 0.405',
    ]),
  );
  await page.locator('#group').selectOption('sweep');
  await eventually(async () => assert.match((await heads())[0], /^git: 2 runs/));
  await shown.close();
});

test('filters by words and numbers, and says what it can compare when nothing matches', async () => {
  const shown = await open();
  const { page } = shown;
  const filter = page.getByRole('searchbox');
  await filter.fill('loss<0.42 r>=8');
  await shows(page, ['r16 · 0.405', 'night']);
  await page.getByText('2 of 4 runs').waitFor();
  await filter.fill('#good r<8');
  await shows(page, ['git r 4']);
  await filter.fill('speed>3');
  await page.getByText('No run matches “speed>3”.').waitFor();
  await page.getByText(/can compare: r, alpha, loss/).waitFor();
  await page.locator('vscode-button', { hasText: 'Clear Filter' }).click();
  await shows(page, ['r16 · 0.405', 'night', 'git r 4', 'git r 1']);
  await shown.close();
});

test('opens a run and overlays the selected ones, with the keyboard only', async () => {
  const shown = await open();
  const { page } = shown;
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const tabTo = async (selector) => {
    while ((await page.locator(`${selector}:focus`).count()) === 0) await press('Tab');
  };
  await tabTo('tbody tr:nth-child(1) input');
  await press('Space');
  await tabTo('tbody tr:nth-child(1) button');
  await press('Enter');
  assert.deepEqual(await sent(page, 'open'), [{ kind: 'open', dir: '/runs/r16 · 0.405' }]);
  await tabTo('tbody tr:nth-child(2) input');
  await press('Space');
  await page.locator('vscode-button:not([disabled])', { hasText: 'Overlay Curves' }).click();
  assert.deepEqual(await sent(page, 'overlay'), [
    { kind: 'overlay', dirs: ['/runs/r16 · 0.405', '/runs/night'] },
  ]);
  await page.locator('vscode-button', { hasText: 'Copy as Markdown' }).click();
  const [{ text }] = await sent(page, 'copyText');
  assert.match(text, /^## Runs\n\n\| Run \| r \| Loss \|/);
  await assertQuiet(shown);
  await shown.close();
});
