// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drawnIn, openRun, startDashboards } from './dashboards.mjs';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  THEMES,
} from './openPage.mjs';

let dashboards;
before(async () => {
  dashboards = await startDashboards();
});
after(() => dashboards?.close());

const open = (run, options) => openRun(dashboards, run, options);
const labels = (page, change = {}) =>
  page.evaluate((message) => window.postMessage(message, '*'), {
    kind: 'labels',
    name: null,
    previous: null,
    changed_files: null,
    commit_page: false,
    command: '',
    remote: null,
    ...change,
  });
const shownActions = (page) =>
  page
    .locator('.head .actions vscode-button:visible')
    .evaluateAll((buttons) =>
      buttons.map((button) => button.getAttribute('aria-label') ?? button.innerText.trim()),
    );

test('says that a run waits for the runtime, and installs it or asks again', async () => {
  for (const theme of THEMES) {
    const dashboard = await open({ steps: 0, state: 'preparing', evaluations: false }, { theme });
    const { page } = dashboard;
    const tell = (wait) =>
      page.evaluate((value) => window.postMessage({ kind: 'wait', for: value }, '*'), wait);
    const notice = page.locator('.wait');
    assert.equal(await notice.count(), 0);
    await tell('answer');
    await notice.getByText('Waiting for the runtime').waitFor();
    await assertAccessible(page);
    for (const name of ['Install', 'More Options…'])
      await notice.getByRole('button', { name }).click();
    await eventually(async () =>
      assert.deepEqual(
        (await sent(page, 'runtime')).map(({ what }) => what),
        ['install', 'ask'],
      ),
    );
    await tell('installation');
    await notice.getByText('The training starts when the runtime is installed.').waitFor();
    assert.equal(await notice.getByRole('button').count(), 0);
    await tell(null);
    await notice.waitFor({ state: 'detached' });
    await assertQuiet(dashboard);
    await dashboard.close();
  }
});

const REMOTE = {
  target: 'gpu-box',
  place: 'gpu-box (SSH, me@gpu.example)',
  stage: null,
  away: null,
  can_reconnect: false,
};

test('names the target of a run, and says that it goes on there while it is not connected', async () => {
  for (const theme of THEMES) {
    const dashboard = await open({ steps: 30, state: 'running' }, { theme });
    const { page } = dashboard;
    const pause = page.getByRole('button', { name: 'Pause' });
    await labels(page, { remote: REMOTE });
    const target = page.locator('.head .target');
    await target.getByText('gpu-box').waitFor();
    assert.equal(await target.getAttribute('title'), REMOTE.place);
    await eventually(async () => assert.equal(await pause.isDisabled(), false));

    const away = 'Not connected to gpu-box since 14:02. The run continues there.';
    await labels(page, { remote: { ...REMOTE, away, can_reconnect: true } });
    await page.locator('.wait').getByText(away).waitFor();
    await eventually(async () => {
      assert.equal(await page.locator('.head .state').innerText(), 'Not connected');
      assert.equal(await page.locator('.head vscode-progress-ring').count(), 0);
      assert.equal(await pause.isDisabled(), true);
    });
    assert.doesNotMatch(
      await page.locator('body').innerText(),
      /fail|interrupted|does not respond/i,
    );
    await assertAccessible(page);
    await page.getByRole('button', { name: 'Reconnect' }).click();
    await eventually(async () => assert.equal((await sent(page, 'reconnect')).length, 1));

    await labels(page, { remote: { ...REMOTE, stage: 'sending 120 MiB of 480 MiB' } });
    await page.locator('.facts').getByText('sending 120 MiB of 480 MiB').waitFor();
    await page.locator('.wait').waitFor({ state: 'detached' });
    for (const name of ['Pause', 'Stop'])
      await eventually(async () =>
        assert.equal(await page.getByRole('button', { name }).isDisabled(), false),
      );
    await assertQuiet(dashboard);
    await dashboard.close();
  }
});

test('leads on from a completed run: what it has learned, then the adapter', async () => {
  const dashboard = await open({ steps: 300, state: 'completed' });
  const { page } = dashboard;
  await labels(page, { name: 'Git words', previous: 'r4 · 0.52' });
  await page.locator('h1', { hasText: 'Git words' }).waitFor();
  assert.deepEqual(await page.locator('.end p').allInnerTexts(), [
    'The validation loss fell from 3.2 to 1.205.',
    'Sampled rows answered exactly as expected: 0 of 1 before training, 1 of 1 after it.',
    'The last step is the best one.',
    'It took 10 min and 1 GiB of memory.',
  ]);
  const leading = [
    'Try Adapter',
    'Merge…',
    'Export…',
    'Compare with Previous',
    'Evaluate…',
    'Run Again',
  ];
  assert.deepEqual((await shownActions(page)).slice(0, 6), leading);
  assert.equal(await page.locator('.head vscode-button[appearance=primary]:visible').count(), 1);
  for (const name of leading) await page.getByRole('button', { name }).first().click();
  await eventually(async () =>
    assert.deepEqual(
      (await sent(page, 'next')).map(({ what }) => what),
      ['tryAdapter', 'merge', 'export', 'compare', 'evaluate', 'runAgain'],
    ),
  );
  await labels(page);
  await eventually(async () =>
    assert.ok(!(await shownActions(page)).includes('Compare with Previous')),
  );
  await assertAccessible(page);
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('says what the suites say of the trained model, and opens their evaluation', async () => {
  const suites = { score: 0.824, base: 0.47, verdict: 'better', rows: 34 };
  const dashboard = await open({ steps: 300, state: 'completed', suites });
  const { page } = dashboard;
  await page.getByText('Suites: 82%, better than 47% of the base model.').waitFor();
  await page.getByText('General questions: 82%, worse than 47% of the base model.').waitFor();
  await page.getByRole('button', { name: 'Open Evaluation' }).click();
  await eventually(async () =>
    assert.deepEqual(await sent(page, 'next'), [{ kind: 'next', what: 'openEvaluation' }]),
  );
  await assertAccessible(page);
  await assertQuiet(dashboard);
  await dashboard.close();
});

test('shows what is forgotten beside what is learned, and the settings that may help', async () => {
  for (const theme of THEMES) {
    const dashboard = await open({ steps: 0, state: 'preparing', evaluations: false }, { theme });
    const { page } = dashboard;
    await page.evaluate(() => {
      window.postRun({ steps: 300, state: 'completed', evaluations: false });
      const lines = [0, 100, 200, 300].map((step) => ({
        ...{ kind: 'eval', step, loss: 1.2 + 2 / (1 + step / 50), labelled_tokens: 900 },
        scores: { general_loss: 2.4 + step / 600 },
        elapsed: 2 * step,
      }));
      window.postMessage({ kind: 'append', lines }, '*');
    });
    const notes = page.getByRole('list', { name: 'Notes on this run' });
    await notes.getByText('The loss on general text has risen from 2.4 to 2.9').waitFor();
    await drawnIn(page, 'general', 'purple');
    await screenshot(page, `dashboard-forgets-${theme}.png`);
    await assertAccessible(page);
    const keys = ['training.learning_rate', 'dataset', 'lora.target_modules', 'lora.lora_alpha'];
    for (const key of keys) await notes.getByRole('button', { name: key, exact: true }).click();
    await eventually(async () =>
      assert.deepEqual(
        (await sent(page, 'openSetting')).map(({ key }) => key),
        keys,
      ),
    );
    await assertQuiet(dashboard);
    await dashboard.close();
  }
});

test('links advice on a run to the settings of its recipe', async () => {
  for (const theme of THEMES) {
    const dashboard = await open({ steps: 300, state: 'completed' }, { theme });
    const { page } = dashboard;
    await page.evaluate(() => {
      const lines = [1.3, 1.4, 1.5, 3.4].map((loss, i) => ({
        ...{ kind: 'eval', step: 310 + 10 * i, loss, labelled_tokens: 900, scores: {} },
        elapsed: 700,
      }));
      window.postMessage({ kind: 'append', lines }, '*');
    });
    const notes = page.getByRole('list', { name: 'Notes on this run' });
    await notes.getByText('the adapter is overfitting').waitFor();
    await screenshot(page, `dashboard-notes-${theme}.png`);
    await assertAccessible(page);
    for (const key of ['training.num_train_epochs', 'training.learning_rate'])
      await notes.getByRole('button', { name: key }).click();
    await eventually(async () =>
      assert.deepEqual(await sent(page, 'openSetting'), [
        { kind: 'openSetting', key: 'training.num_train_epochs' },
        { kind: 'openSetting', key: 'training.learning_rate' },
      ]),
    );
    await assertQuiet(dashboard);
    await dashboard.close();
  }
});

test('shows of a run that failed before its first step the error and Run Again, and no empty tile', async () => {
  const error = { area: 'dataset', message: 'Row 12 has no messages.' };
  for (const theme of THEMES) {
    const dashboard = await open(
      { steps: 0, state: 'failed', evaluations: false, error },
      { theme },
    );
    const { page } = dashboard;
    await page.getByText('Row 12 has no messages.').waitFor();
    assert.deepEqual(await shownActions(page), ['Run Again', 'Open Recipe', 'Show Log']);
    assert.equal(await page.locator('.tile:visible, .chart:visible, .end').count(), 0);
    await assertAccessible(page);
    await assertQuiet(dashboard);
    await dashboard.close();
  }
});

test('shows of a run that failed later the tiles that have a value', async () => {
  const { page, close } = await open({ steps: 40, state: 'failed', evaluations: false });
  await page.locator('.tile-loss:visible').waitFor();
  assert.equal(await page.locator('.tile-validation:visible').count(), 0);
  await page.locator('.end', { hasText: 'The training loss fell from' }).waitFor();
  await close();
});

test('shows what a run started from, and the command that repeats it', async () => {
  const dashboard = await open({ steps: 20, state: 'completed' });
  const { page } = dashboard;
  await labels(page, {
    changed_files: 3,
    commit_page: true,
    command: 'lora train --repeat /runs/tiny',
  });
  await page.locator('vscode-panel-tab#recipe').click();
  await page.getByText('LoRA Workbench 0.1.0, Node 20.0.0').waitFor();
  await page.getByRole('button', { name: 'Open Commit' }).click();
  await page.getByRole('button', { name: 'Show Uncommitted Changes (3 files)' }).click();
  await page.getByRole('button', { name: 'Copy the command' }).click();
  assert.deepEqual(
    (await sent(page, 'open')).map(({ what }) => what),
    ['commit', 'changes'],
  );
  assert.deepEqual(await sent(page, 'copyText'), [
    { kind: 'copyText', text: 'lora train --repeat /runs/tiny' },
  ]);
  await labels(page);
  await eventually(async () => assert.equal(await page.locator('.repeat').count(), 0));
  await assertAccessible(page);
  await assertQuiet(dashboard);
  await dashboard.close();
});
