// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { charts, drawnIn, openRun, startDashboards } from './dashboards.mjs';
import { assertAccessible, assertQuiet, eventually } from './openPage.mjs';

let dashboards;
before(async () => {
  dashboards = await startDashboards();
});
after(() => dashboards?.close());

const open = (run, options) => openRun(dashboards, run, options);

test('shows samples right under the losses: what was asked, the answers, and what was expected', async () => {
  const dashboard = await open({ steps: 60 });
  const { page } = dashboard;
  const sample = page.locator('.chart-loss ~ *, .grid:has(.chart-loss) + .samples .sample');
  assert.match(
    await sample.first().innerText(),
    /^Row 17\s+system\s+Answer with one git command\.\s+Undo the last commit/,
  );
  const titles = await sample.locator('> .answers h3').allInnerTexts();
  assert.deepEqual(
    titles.map((text) => text.replace(/\s+/g, ' ').trim()),
    ['Base model', 'Step 60 (latest) , exact match', 'Expected'],
  );
  await eventually(async () => assert.equal(await sample.locator('> .answers .exact').count(), 1));
  await assertAccessible(page);
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('names the step of a value that is older than the run, and claims none at the cursor', async () => {
  const { page, close } = await open({ steps: 67 });
  await drawnIn(page, 'loss', charts.loss);
  const validation = page.locator('.chart-loss .key-entry', { hasText: 'validation' });
  assert.match(await validation.innerText(), /validation\s+[\d.]+ \(step 60\)$/);
  const canvas = page.locator('.chart-loss canvas');
  await canvas.focus();
  await page.keyboard.press('Home');
  await page.locator('.chart-loss .at', { hasText: 'step 1' }).waitFor();
  assert.match(await validation.innerText(), /validation\s+–$/);
  await close();
});

test('draws a running run along its whole length, also on a logarithmic axis', async () => {
  const { page, close } = await open({ steps: 50 });
  await drawnIn(page, 'loss', charts.loss);
  const label = () => page.locator('.chart-loss canvas').getAttribute('aria-label');
  assert.match(await label(), /Steps 0 to 300/);
  await page.locator('#logarithmic-x').check();
  await eventually(async () => assert.match(await label(), /Steps 1 to 300/));
  await drawnIn(page, 'memory', charts.memory);
  await eventually(async () =>
    assert.equal(await page.evaluate(() => window.kept.logarithmicX), true),
  );
  await close();
  const ended = await open({ steps: 50, state: 'stopped' });
  await drawnIn(ended.page, 'loss', charts.loss);
  assert.match(
    await ended.page.locator('.chart-loss canvas').getAttribute('aria-label'),
    /Steps 0 to 50/,
  );
  await ended.close();
});

test('pins a chart beside the losses, in two columns from 1,000 pixels on', async () => {
  const { page, close } = await open({ steps: 50 }, { width: 1000 });
  const boxOf = (id) => page.locator(`.chart-${id}`).boundingBox();
  await page.getByRole('button', { name: 'Pin beside the loss: Memory' }).click();
  await page.getByRole('button', { name: 'Unpin: Memory' }).waitFor();
  const [loss, memory, samples] = [
    await boxOf('loss'),
    await boxOf('memory'),
    await page.locator('.samples').boundingBox(),
  ];
  assert.equal(memory.y, loss.y);
  assert.ok(memory.x > loss.x + loss.width);
  assert.ok(samples.y > loss.y + loss.height);
  assert.deepEqual(await page.evaluate(() => window.kept.pinned), ['memory']);
  await page.setViewportSize({ width: 980, height: 900 });
  await eventually(async () => {
    const [above, below] = [await boxOf('loss'), await boxOf('memory')];
    assert.ok(below.y > above.y + above.height);
  });
  await page.getByRole('button', { name: 'Unpin: Memory' }).click();
  await eventually(async () => assert.deepEqual(await page.evaluate(() => window.kept.pinned), []));
  await close();
});

test('draws the load of the busiest expert of a mixture, and of no other model', async () => {
  const { page, close } = await open({ steps: 60, isMixture: true });
  await drawnIn(page, 'expert_load', 'blue');
  await page.locator('.chart-expert_load', { hasText: 'busiest expert 2.6' }).waitFor();
  await close();
  const other = await open({ steps: 60 });
  await drawnIn(other.page, 'memory', charts.memory);
  assert.equal(await other.page.locator('.chart-expert_load').count(), 0);
  await other.close();
});

test('underlines what is learnt of the first batch within its text', async () => {
  const { page, close } = await open({ steps: 60 });
  const mark = page.locator('.batch mark').last();
  const bottom = (element) => element.getBoundingClientRect().bottom;
  const line = await mark.evaluate(bottom);
  const text = await page
    .locator('.batch .row p', { has: page.locator('mark') })
    .last()
    .evaluate(bottom);
  assert.ok(line <= text, `${line} is below ${text}`);
  await close();
});
