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
import { sendRun } from './sendRun.mjs';

const RANKS = [1, 2, 4, 8, 16];
const dirOf = (r) => `/runs/r${r}`;

let pages;
before(async () => {
  pages = await startPages('overlay', {
    subject: JSON.stringify({ kind: 'sweep', folder: '/sweeps/git' }),
  });
});
after(() => pages?.close());

const APART = { 1: 0.8, 2: 0.6, 4: 0.4, 8: 0.2, 16: 0 };

/** A sweep whose higher ranks do better, r = 4 nearly as well as r = 16. */
async function open(options, above = { 1: 0.3, 2: 0.1, 4: 0.002, 8: 0.001, 16: 0 }) {
  const shown = await pages.open(options);
  const { page } = shown;
  await tell(page, RANKS, 0);
  for (const r of RANKS)
    await page.evaluate(sendRun, {
      steps: 200,
      state: 'completed',
      dir: dirOf(r),
      r,
      above: above[r],
    });
  await page.locator('.words', { hasText: /is enough|still help/ }).waitFor();
  return shown;
}

const tell = (page, ranks, waiting, missing = 0) =>
  page.evaluate((message) => window.postMessage(message, '*'), {
    kind: 'runs',
    title: 'Ranks of git',
    sweep: { keys: ['lora.r'], missing },
    waiting,
    runs: ranks.map((r) => ({ dir: dirOf(r), name: `git r ${r}` })),
  });

/** Charts are drawn at most every 200 ms. */
const frames = (page) =>
  page.evaluate(
    () =>
      new Promise((done) => {
        setTimeout(
          () => window.requestAnimationFrame(() => window.requestAnimationFrame(done)),
          250,
        );
      }),
  );

const colours = (page) =>
  page.evaluate(() => {
    const canvas = document.querySelector('.plot canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const near = (name) => {
      const wanted = getComputedStyle(document.body)
        .getPropertyValue(`--vscode-charts-${name}`)
        .match(/\w\w/g)
        .map((hex) => parseInt(hex, 16));
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 200 && wanted.every((value, c) => Math.abs(value - data[i + c]) <= 2))
          return true;
      return false;
    };
    return ['blue', 'green', 'purple', 'red'].filter(near).join();
  });

for (const theme of THEMES) {
  test(`${theme}: draws all runs without errors or serious axe findings`, async () => {
    const shown = await open({ theme }, APART);
    await eventually(async () =>
      assert.match(
        await shown.page.locator('.words').innerText(),
        /^Higher ranks still help: r = 16 /,
      ),
    );
    const { page } = shown;
    await frames(page);
    await eventually(async () => assert.equal(await colours(page), 'blue,green,purple,red'));
    await screenshot(page, `overlay-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('lists ranks in ascending order and suggests the lowest sufficient one', async () => {
  const shown = await open();
  const { page } = shown;
  const ranks = () => page.locator('.runs tbody tr td:nth-child(2)').allInnerTexts();
  await eventually(async () => assert.deepEqual(await ranks(), ['1', '2', '4', '8', '16']));
  await eventually(async () =>
    assert.match(
      await page.locator('.words').innerText(),
      /^r = 4 is enough: its best validation loss, [\d.]+, is within 1\s?% of the lowest, [\d.]+ at r = 16\.$/,
    ),
  );
  await page.locator('.runs').getByRole('button', { name: 'git r 2' }).click();
  await eventually(async () =>
    assert.deepEqual((await page.evaluate(() => window.sent)).at(-1), {
      kind: 'open',
      dir: '/runs/r2',
    }),
  );
  await page.locator('vscode-button', { hasText: 'Copy as Markdown' }).click();
  const [{ text }] = await sent(page, 'copyText');
  assert.match(text, /^## Ranks of git\n\n\| Run \| r \|/);
  assert.equal(text.split('\n').filter((line) => line.startsWith('| git r')).length, 5);
  await assertQuiet(shown);
  await shown.close();
});

test('says what holds so far while runs of the sweep go on, and draws losses over ranks', async () => {
  const shown = await pages.open();
  const { page } = shown;
  const finish = (r, above, state = 'completed') =>
    page.evaluate(sendRun, { steps: 200, state, dir: dirOf(r), r, above });
  const words = () => page.locator('.words').innerText();
  await tell(page, RANKS, 2);
  await finish(1, 0.3);
  await finish(2, 0.1, 'running');
  await page.locator('.ranks circle.open').waitFor();
  assert.match(await words(), /once two runs have finished/);
  await finish(4, 0.5);
  await eventually(async () =>
    assert.match(await words(), /^2 of 7 runs finished\. So far: r = 1 is enough/),
  );
  assert.equal(await page.locator('.ranks circle').count(), 3);
  assert.match(
    await page.locator('.ranks svg').getAttribute('aria-label'),
    /by rank: r = 1: [\d.]+, r = 2: [\d.]+, r = 4: /,
  );
  await tell(page, RANKS.slice(0, 3), 0);
  await finish(2, 0.1, 'stopped');
  await eventually(async () =>
    assert.match(await words(), /^r = 1 is enough.*Not counted, because not finished: git r 2\.$/),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('toggles runs by legend key, persists this, and shows values at the cursor', async () => {
  const shown = await open({}, APART);
  const { page } = shown;
  await frames(page);
  await page.locator('.key .key-entry').first().click();
  await page.locator('.key .key-entry[aria-pressed="false"]', { hasText: 'git r 1' }).waitFor();
  await page.waitForFunction(() => window.kept.hidden.length === 1);
  await frames(page);
  await eventually(async () =>
    assert.equal(await colours(page), 'blue,green,purple,red', 'r = 16 is blue too'),
  );
  await page.locator('.key .key-entry').last().click();
  await frames(page);
  await eventually(async () => assert.equal(await colours(page), 'green,purple,red'));
  await page.locator('.key .key-entry').first().click();
  await page.locator('.key .key-entry').last().click();
  await frames(page);
  await page.locator('.plot canvas').focus();
  await page.keyboard.press('Home');
  await page.waitForFunction(() =>
    /^step 0, git r 1 [\d.]+, git r 2 /.test(
      document.querySelector('.curves [aria-live]').textContent,
    ),
  );
  await page.keyboard.press('End');
  await page.keyboard.press('+');
  await page.locator('.zoom-text', { hasText: 'Steps' }).waitFor();
  await page.locator('#quantity').selectOption('memory');
  await frames(page);
  await eventually(async () =>
    assert.match(await page.locator('.key .key-entry').first().innerText(), /GiB/),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('adds runs that start later and shows pending ones', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await tell(page, [], 5);
  await page.getByText('No run of the sweep has started yet.').waitFor();
  await page.getByText('5 more are queued.').waitFor();
  await tell(page, [1], 4);
  await page.evaluate(sendRun, { steps: 20, dir: dirOf(1), r: 1 });
  await page.locator('.runs tbody tr', { hasText: 'Running' }).waitFor();
  await page.evaluate(() =>
    window.postMessage(
      {
        kind: 'of',
        dir: '/runs/r1',
        message: { kind: 'append', lines: [{ ...window.stepLine(21), loss: 0.4321 }] },
      },
      '*',
    ),
  );
  await page.locator('.runs tbody tr', { hasText: '0.4321' }).waitFor();
  await eventually(async () =>
    assert.match(await page.locator('.words').innerText(), /How low can the rank go\?/),
  );
  await page.evaluate(() =>
    window.postMessage({ kind: 'of', dir: '/runs/r1', message: { kind: 'append', lines: 3 } }, '*'),
  );
  await page.waitForFunction(() => window.sent.some(({ kind }) => kind === 'trouble'));
  await shown.close();
});

test('hides both runs after two clicks within one frame', async () => {
  const shown = await open({}, APART);
  await shown.page.evaluate(() => {
    for (const key of [...document.querySelectorAll('.key-entry')].slice(0, 2)) key.click();
  });
  await eventually(async () =>
    assert.equal(await shown.page.evaluate(() => window.kept.hidden.length), 2),
  );
  await shown.close();
});

const GRID = [2, 4].flatMap((r) => [1e-4, 1e-3].map((rate) => ({ r, rate })));
const gridDir = ({ r, rate }) => `/runs/${r}-${rate}`;

/**
 * A sweep of two keys: r = 4 with the higher rate does best, the higher rate of r = 2 continues.
 */
async function openGrid(options) {
  const shown = await pages.open(options);
  const { page } = shown;
  await page.evaluate((message) => window.postMessage(message, '*'), {
    kind: 'runs',
    title: 'Sweep of git',
    sweep: { keys: ['lora.r', 'training.learning_rate'], missing: 2 },
    waiting: 0,
    runs: GRID.map((one) => ({ dir: gridDir(one), name: `git ${one.r} ${one.rate}` })),
  });
  for (const one of GRID)
    await page.evaluate(sendRun, {
      steps: 200,
      state: one.r === 2 && one.rate === 1e-3 ? 'running' : 'completed',
      dir: gridDir(one),
      ...one,
      above: 1 / one.r - 100 * one.rate,
    });
  await page.locator('.words', { hasText: 'So far' }).waitFor();
  return shown;
}

for (const theme of THEMES)
  for (const width of [700, 1440])
    test(`${theme}, ${width} px: shows a sweep of two keys`, async () => {
      const shown = await openGrid({ theme, width });
      const { page } = shown;
      await frames(page);
      assert.equal(await page.locator('.ranks polyline').count(), 2);
      assert.equal(await page.locator('.ranks circle.open').count(), 1);
      const fits = await page.evaluate(
        () => document.documentElement.scrollWidth <= window.innerWidth,
      );
      assert.ok(fits, 'the page is no wider than the window');
      await screenshot(page, `sweep-${theme}-${width}.png`);
      await assertAccessible(page);
      await assertQuiet(shown);
      await shown.close();
    });

test('ranks the finished runs of a sweep of two keys, and sorts by any column', async () => {
  const shown = await openGrid();
  const { page } = shown;
  await eventually(async () =>
    assert.match(
      await page.locator('.words').innerText(),
      /^3 of 6 runs finished\. So far: r 4, learning_rate 1e-3 has the lowest validation loss, [\d.]+\.$/,
    ),
  );
  await page.getByText('2 runs of the sweep have not been started.').waitFor();
  const column = (n) => page.locator(`.runs tbody tr td:nth-child(${n})`).allInnerTexts();
  assert.deepEqual(await column(4), ['1', '2', '3', '–']);
  assert.deepEqual(await column(2), ['4', '4', '2', '2']);
  assert.match(
    await page.locator('.line-keys').innerText(),
    /learning_rate 1e-4\s+learning_rate 1e-3/,
  );
  assert.match(
    await page.locator('.ranks > svg').getAttribute('aria-label'),
    /by r: r 2, learning_rate 1e-4: [\d.]+/,
  );
  await page.locator('.runs thead button', { hasText: 'learning_rate' }).click();
  await eventually(async () => assert.deepEqual(await column(3), ['1e-4', '1e-4', '1e-3', '1e-3']));
  await page.locator('.runs thead button', { hasText: 'learning_rate' }).click();
  await eventually(async () => assert.deepEqual(await column(3), ['1e-3', '1e-3', '1e-4', '1e-4']));
  await page.waitForFunction(() => window.kept.sorting.column === 'training.learning_rate');
  await page.locator('vscode-button', { hasText: 'Copy as Markdown' }).click();
  const [{ text }] = await sent(page, 'copyText');
  assert.match(text, /^## Sweep of git\n\n\| Run \| r \| learning_rate \| Place \|/);
  await assertQuiet(shown);
  await shown.close();
});

test('shows the rungs of a tune, its best run so far, and its range test', async () => {
  const shown = await pages.open();
  const { page } = shown;
  const points = Array.from({ length: 20 }, (_, i) => ({
    rate: 10 ** (-6 + i / 4),
    loss: 3 - Math.min(i, 14) / 10 + Math.max(0, i - 14),
  }));
  await page.evaluate((message) => window.postMessage(message, '*'), {
    kind: 'runs',
    title: 'Tune of git',
    sweep: { keys: ['lora.r'], missing: 0, tune: { points, suggestion: 3e-4 } },
    waiting: 0,
    runs: [2, 4].map((r) => ({ dir: dirOf(r), name: `git r ${r}` })),
  });
  const run = (r, steps, state) => ({ steps, state, dir: dirOf(r), r, above: r / 10 });
  await page.evaluate(sendRun, run(2, 120, 'stopped'));
  await page.evaluate(sendRun, run(4, 300, 'completed'));
  await eventually(async () =>
    assert.match(
      await page.locator('.words').innerText(),
      /^So far r 4: [\d.]+ at rung 4\. A run pauses at each rung/,
    ),
  );
  assert.deepEqual(await page.locator('.runs tbody tr td:nth-child(4)').allInnerTexts(), [
    '3',
    '4',
  ]);
  assert.equal(await page.locator('#range-title').innerText(), 'Loss over learning rates');
  await page.getByText('Dashed line: the suggested rate, 3e-4.').waitFor();
  await frames(page);
  await screenshot(page, 'tune.png');
  await assertAccessible(page);
  await assertQuiet(shown);
  await shown.close();
});
