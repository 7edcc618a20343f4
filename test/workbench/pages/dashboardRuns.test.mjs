// node --test test/workbench/pages
// A long run, whose outline comes first, and a page that shows one run after another.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drawnIn, openRun, startDashboards } from './dashboards.mjs';
import { assertQuiet, eventually, sent } from './openPage.mjs';
import { sendRun } from './sendRun.mjs';

let dashboards;
before(async () => {
  dashboards = await startDashboards();
});
after(() => dashboards?.close());

const keyOf = (page, series) =>
  page.locator('.chart-loss .key-entry', { has: page.locator(`.swatch-${series}`) }).innerText();
const textOf = (page, selector) => page.locator(selector).innerText();

test('draws the outline of a long run, asks once for all steps, and shows what needs them', async () => {
  const run = { steps: 5000, state: 'completed' };
  const dashboard = await openRun(dashboards, { ...run, outline: true });
  const { page } = dashboard;
  await drawnIn(page, 'loss', 'blue');
  await eventually(async () => assert.equal((await sent(page, 'allSteps')).length, 1));
  assert.match(await textOf(page, '.tile-loss .value'), /^\d/);
  assert.equal(await textOf(page, '.tile-memory .sub'), '');
  assert.match(await textOf(page, '.end'), /It took 2 hr 46 min and … of memory/);
  assert.match(await keyOf(page, 'smoothed'), /–$/);
  await page.evaluate(sendRun, run);
  await eventually(async () => assert.match(await keyOf(page, 'smoothed'), /\d$/));
  assert.match(await textOf(page, '.end'), /and 1 GiB of memory/);
  assert.match(await textOf(page, '.tile-memory .sub'), /1 GiB/);
  assert.equal((await sent(page, 'allSteps')).length, 1);
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('shows another run in its place: its numbers, its charts, nothing of the first', async () => {
  const dashboard = await openRun(dashboards, { steps: 300, state: 'completed' });
  const { page } = dashboard;
  await drawnIn(page, 'loss', 'blue');
  const canvas = await page.locator('.chart-loss canvas').elementHandle();
  await page
    .locator('.sample details')
    .first()
    .evaluate((details) => (details.open = true));
  await page.evaluate(sendRun, {
    steps: 40,
    state: 'stopped',
    evaluations: false,
    run_dir: '/runs/other',
    r: 2,
  });
  await eventually(async () =>
    assert.deepEqual(
      (await sent(page, 'shown')).map(({ run_dir }) => run_dir),
      ['/runs/tiny', '/runs/other'],
    ),
  );
  await eventually(async () => assert.match(await textOf(page, 'main'), /r = 2/));
  assert.equal(await page.locator('.sample details[open]').count(), 0);
  assert.equal(await page.locator('.chart-score').count(), 0);
  assert.match(await page.locator('.chart-loss canvas').getAttribute('aria-label'), /40/);
  assert.ok(await canvas.evaluate((own) => own.isConnected), 'the chart is used again');
  assert.equal(await page.evaluate(() => window.kept.runDir), '/runs/other');
  await page.evaluate(sendRun, { steps: 300, state: 'completed' });
  await page.locator('.chart-score').waitFor();
  await drawnIn(page, 'loss', 'blue');
  await assertQuiet(dashboard);
  await dashboard.close();
});
