// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertAccessible, assertQuiet, eventually, sent, THEMES } from './openPage.mjs';
import { charts, drawnIn, frames, openRun, startDashboards } from './dashboards.mjs';

const failure = {
  area: 'recipe',
  message: 'The recipe has a fault.',
  place: { file: 'lora.json' },
  fix: 'Mend it.',
  detail: 'at line 3',
  problems: [
    {
      severity: 'error',
      message: '"r" must be at least 1, not 0.',
      place: { file: 'lora.json', line: 3, column: 5 },
    },
  ],
};

let dashboards;
before(async () => {
  dashboards = await startDashboards();
});
after(() => dashboards?.close());

const open = (run, options) => openRun(dashboards, run, options);

for (const theme of THEMES) {
  test(`${theme}: draws every chart without errors or serious axe findings in any state`, async () => {
    for (const [run, act] of [
      [
        { steps: 200 },
        async (page) => {
          for (const [id, colour] of Object.entries(charts)) await drawnIn(page, id, colour);
        },
      ],
      [
        { steps: 12 },
        async (page) => {
          for (const id of Object.keys(charts))
            await page.locator(`.chart-${id} header .as-table`).click();
          await page.locator('vscode-panel-tab#events').click();
        },
      ],
      [
        { steps: 200, state: 'completed' },
        (page) => page.locator('vscode-panel-tab#recipe').click(),
      ],
      [
        { steps: 200 },
        async (page) => {
          await page.locator('vscode-panel-tab#sources').click();
          await page.locator('.sources').getByText('hf://owner/general (train)').waitFor();
          await page.locator('.sources').getByText('80%', { exact: true }).waitFor();
        },
      ],
      [
        { steps: 40, state: 'failed', error: failure },
        (page) => page.getByText('"r" must be at least 1').waitFor(),
      ],
      [
        {
          steps: 0,
          state: 'preparing',
          evaluations: false,
          progress: { phase: 'loading model', fraction: 0.4 },
        },
        (page) => page.getByText('Loading the model, 40%').waitFor(),
      ],
    ]) {
      const dashboard = await open(run, { theme });
      const { page } = dashboard;
      await frames(page);
      await act(page);
      await frames(page);
      await assertQuiet(dashboard);
      await assertAccessible(page);
      await dashboard.close();
    }
  });
}

test('repaints the charts after a theme change', async () => {
  const { page, close } = await open({ steps: 100 }, { theme: 'dark' });
  for (const [id, colour] of Object.entries(charts)) await drawnIn(page, id, colour);
  await dashboards.setTheme(page, 'high-contrast-light');
  for (const [id, colour] of Object.entries(charts)) await drawnIn(page, id, colour);
  await close();
});

test('updates numbers, charts and tables with new lines', async () => {
  const dashboard = await open({ steps: 50 });
  const { page } = dashboard;
  await page.locator('.chart-loss header .as-table').click();
  await page.evaluate(() =>
    window.postMessage(
      {
        kind: 'append',
        lines: [
          { ...window.stepLine(51), loss: 0.4321 },
          { kind: 'eval', step: 51, loss: 0.5678, labelled_tokens: 1, elapsed: 1 },
        ],
      },
      '*',
    ),
  );
  await page.locator('.tile-loss .value', { hasText: '0.4321' }).waitFor();
  await eventually(async () =>
    assert.equal(await page.locator('.tile-validation .sub').innerText(), 'best 0.5678 at step 51'),
  );
  await page.locator('.chart-loss vscode-data-grid-row', { hasText: '0.5678' }).waitFor();
  await eventually(async () =>
    assert.match(await page.locator('.facts').innerText(), /Step 51 of 300/),
  );
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('reports a malformed message to the host and ignores it', async () => {
  const { page, errors, close } = await open({ steps: 10 });
  for (const message of [null, 'x', { kind: 'append', lines: 3 }, { kind: 'snapshot' }])
    await page.evaluate((value) => window.postMessage(value, '*'), message);
  await page.waitForFunction(
    () => window.sent.filter((sent) => sent.kind === 'trouble').length === 4,
  );
  await page.evaluate(() =>
    window.postMessage({ kind: 'append', lines: [{ ...window.stepLine(11), loss: 0.4321 }] }, '*'),
  );
  await page.locator('.tile-loss .value', { hasText: '0.4321' }).waitFor();
  assert.deepEqual(errors, []);
  await close();
});

test('sends requests by button and waits for the answer', async () => {
  const { page, close } = await open({ steps: 10 });
  const pause = page.locator('vscode-button', { hasText: 'Pause' });
  await pause.click();
  await page.waitForFunction(() =>
    document.querySelector('vscode-button[title="Pause"]').hasAttribute('disabled'),
  );
  await page.evaluate(() => window.postMessage({ kind: 'answered', request: 'pause' }, '*'));
  await page.waitForFunction(
    () => !document.querySelector('vscode-button[title="Pause"]').hasAttribute('disabled'),
  );
  await page.locator('.head').getByRole('button', { name: 'Show Log' }).click();
  await page.locator('vscode-button', { hasText: 'Export CSV' }).click();
  await eventually(async () =>
    assert.deepEqual(await page.evaluate(() => window.sent.slice(2)), [
      { kind: 'request', request: 'pause' },
      { kind: 'open', what: 'log' },
      { kind: 'export' },
    ]),
  );
  await close();
});

test('reads and zooms charts by keyboard and persists the choices', async () => {
  const { page, close } = await open({ steps: 200 });
  await drawnIn(page, 'loss', charts.loss);
  await page.locator('.chart-loss canvas').focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() =>
    /^step 2, training \d/.test(document.querySelector('.charts > [aria-live]').textContent),
  );
  await eventually(async () =>
    assert.equal(await page.locator('.chart-memory .at').innerText(), 'step 2'),
  );
  await page.keyboard.press('End');
  await page.keyboard.press('+');
  await page.locator('.zoom-text', { hasText: 'Steps 100 to 250' }).waitFor();
  const kept = await page.evaluate(() => window.kept);
  assert.deepEqual([kept.zoom, kept.runDir], [{ from: 100, to: 250 }, '/runs/tiny']);
  await close();
  const again = await open(
    { steps: 200 },
    { state: { ...kept, smoothing: 0.5, tables: ['memory'], tab: 'events', scroll: 150 } },
  );
  await again.page.locator('.zoom-text', { hasText: 'Steps 100 to 250' }).waitFor();
  await eventually(async () =>
    assert.equal(await again.page.locator('#smoothing').inputValue(), '0.5'),
  );
  await eventually(async () =>
    assert.ok(await again.page.locator('.chart-memory vscode-data-grid').isVisible()),
  );
  await eventually(async () =>
    assert.ok(await again.page.locator('.events vscode-data-grid').isVisible()),
  );
  await eventually(async () => assert.equal(await again.page.evaluate(() => window.scrollY), 150));
  await again.page.locator('.chart-loss canvas').focus();
  await again.page.keyboard.press('Escape');
  await again.page.locator('.zoom-text').waitFor({ state: 'hidden' });
  await again.close();
});

test('does not overflow at 400 and 1500 pixels with 0, 1, 2 and 100,000 steps', async () => {
  for (const width of [400, 1500]) {
    for (const steps of [0, 1, 2, 100_000]) {
      const dashboard = await open({ steps }, { width });
      await frames(dashboard.page);
      const { scroll, client } = await dashboard.page.evaluate(() => ({
        scroll: document.documentElement.scrollWidth,
        client: document.documentElement.clientWidth,
      }));
      assert.ok(scroll <= client, `${steps} steps at ${width} pixels: ${scroll} wide`);
      await assertQuiet(dashboard);
      await dashboard.close();
    }
  }
});

test('has no animations with reduced motion', async () => {
  const { page, close } = await open({ steps: 0, state: 'preparing', evaluations: false });
  await frames(page);
  await eventually(async () =>
    assert.equal(
      await page.evaluate(
        () =>
          document
            .getAnimations()
            .filter(
              (animation) =>
                animation.playState === 'running' && !animation.effect.target.closest('[hidden]'),
            ).length,
      ),
      0,
    ),
  );
  await close();
});

test('switches to tokens, time and a logarithmic loss axis and persists the choices', async () => {
  const dashboard = await open({ steps: 200 });
  const { page } = dashboard;
  await drawnIn(page, 'loss', charts.loss);
  const picture = () => page.locator('.chart-loss canvas').evaluate((canvas) => canvas.toDataURL());
  const before = await picture();
  await page.locator('#logarithmic').check();
  await page.waitForFunction(
    (old) => document.querySelector('.chart-loss canvas').toDataURL() !== old,
    before,
  );
  await page.locator('#axis').selectOption('tokens');
  await frames(page);
  await page.locator('.chart-loss canvas').focus();
  await page.keyboard.press('Home');
  await page.locator('.chart-memory .at', { hasText: '800 tokens' }).waitFor();
  await page.locator('#axis').selectOption('time');
  await frames(page);
  await page.locator('.chart-loss canvas').focus();
  await page.keyboard.press('End');
  await page
    .locator('.chart-memory .at', { hasText: 'after 6 min, 40 sec' })
    .or(page.locator('.chart-memory .at', { hasText: 'after 6 min 40 sec' }))
    .waitFor();
  await page.locator('.chart-loss .as-table').click();
  await page.locator('.chart-loss vscode-data-grid', { hasText: 'Time' }).waitFor();
  await eventually(async () =>
    assert.deepEqual(await page.evaluate(() => [window.kept.axis, window.kept.logarithmic]), [
      'time',
      true,
    ]),
  );
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('saves a chart as an image and copies the numbers as Markdown', async () => {
  const dashboard = await open({ steps: 50 });
  const { page } = dashboard;
  await drawnIn(page, 'loss', charts.loss);
  await page
    .locator('.chart-loss header vscode-button[aria-label="Save as picture: Loss"]')
    .click();
  await page.locator('vscode-button', { hasText: 'Copy as Markdown' }).click();
  const [[picture], [copied]] = [await sent(page, 'savePicture'), await sent(page, 'copyText')];
  assert.equal(picture.name, 'loss');
  const png = Buffer.from(picture.url.slice('data:image/png;base64,'.length), 'base64');
  assert.equal(png.subarray(1, 4).toString(), 'PNG');
  assert.ok(png.length > 2_000, 'the picture is blank');
  assert.match(
    copied.text,
    /^## Plain words to git\n\n\| What \| Value \|\n\| --- \| --- \|\n\| State \| Running \|\n\| Loss \| [\d.]+ \(smoothed [\d.]+\) \|/,
  );
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('shows the first batch in a tab with labelled tokens marked', async () => {
  const dashboard = await open({ steps: 20 });
  const { page } = dashboard;
  await page.locator('vscode-panel-tab#batch').click();
  await page.locator('.batch mark', { hasText: 'git reset --soft HEAD~1' }).waitFor();
  await eventually(async () => assert.equal(await page.locator('.batch mark').count(), 1));
  await eventually(async () =>
    assert.match(
      await page.locator('.batch .row').innerText(),
      /^Line 7\s+user: Undo the last commit\s+assistant: git reset/,
    ),
  );
  await assertAccessible(page);
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('marks checkpoints below the losses and the best step on its point; zooms and pans with the wheel', async () => {
  const dashboard = await open({ steps: 200 });
  const { page } = dashboard;
  await frames(page);
  await eventually(async () =>
    assert.equal(await page.locator('.chart-loss .marks .mark-best.at-point').count(), 1),
  );
  const [best, foot] = await Promise.all(
    ['best', 'checkpoint'].map((kind) =>
      page.locator(`.chart-loss .marks .mark-${kind}`).last().boundingBox(),
    ),
  );
  assert.ok(best.y < foot.y - 20, 'the best step is marked on its curve');
  await eventually(async () =>
    assert.equal(await page.locator('.chart-loss .marks .mark-checkpoint').count(), 12),
  );
  await eventually(async () =>
    assert.equal(await page.locator('.chart-memory .marks > *').count(), 0),
  );
  const box = await page.locator('.chart-loss canvas').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -100);
  await page.mouse.wheel(0, -100);
  await page.keyboard.up('Control');
  await page.waitForFunction(
    () => window.kept.zoom !== null && window.kept.zoom.to - window.kept.zoom.from < 200,
  );
  const before = await page.evaluate(() => window.kept.zoom);
  await page.mouse.wheel(200, 0);
  await page.waitForFunction((from) => window.kept.zoom.from > from, before.from);
  await eventually(async () =>
    assert.ok(
      Math.abs(
        (await page.evaluate(() => window.kept.zoom.to - window.kept.zoom.from)) -
          (before.to - before.from),
      ) < 1e-9,
    ),
  );
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('keeps two charts switched to tables within one frame', async () => {
  const { page, close } = await open({ steps: 20 });
  await page.evaluate(() => {
    for (const id of ['loss', 'memory']) document.querySelector(`.chart-${id} .as-table`).click();
  });
  await eventually(async () =>
    assert.deepEqual(await page.evaluate(() => window.kept.tables), ['loss', 'memory']),
  );
  await close();
});

test('writes invisible characters of names and in the rows of grids as escapes', async () => {
  const shown = await open({ steps: 3 });
  const { page } = shown;
  const message = 'a\u202eb\u200bc';
  await page.evaluate(
    (text) =>
      window.postMessage(
        { kind: 'log', level: 'warn', message: text, time: '2026-01-31T14:40:00Z' },
        '*',
      ),
    message,
  );
  await page.locator('vscode-panel-tab#events').click();
  await page.locator('.events vscode-data-grid', { hasText: 'a\\u202eb\\u200bc' }).waitFor();
  await assertQuiet(shown);
  await shown.close();
});
