// Queued runs, a sweep of ranks, and overlaid runs, in a real workbench.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import {
  checkThemes,
  chooseInMenu,
  commandPick,
  LIMIT,
  openFile,
  openWorkbench,
  until,
} from './page.mjs';
import { endEngines, makeWorkspace, root, runsOf } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('queued runs', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const recipe = (steps) =>
    JSON.stringify(
      {
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 2, lora_alpha: 4 },
        training: { max_steps: steps, eval_steps: 4 },
        samples: { sample_steps: 0 },
      },
      null,
      2,
    );
  let workbench, page;
  const row = (label) => d.treeRow(page, 'Runs', label);
  const labels = async () => (await d.treeItems(page, 'Runs')).map((item) => item.label);
  const body = () => d.webview(page).locator('body');

  before(async () => {
    mkdirSync(shots, { recursive: true });
    for (const [name, steps] of [
      ['long.lora.json', 500_000],
      ['one.lora.json', 4],
      ['two.lora.json', 4],
    ])
      writeFileSync(path.join(workspace, name), recipe(steps));
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
  });
  after(async () => {
    await workbench?.close();
    endEngines(workspace);
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-queue-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('starts the first recipe at once, queues the others, reorders them and removes one', async () => {
    for (const name of ['long', 'one', 'two']) {
      await openFile(page, `${name}.lora.json`);
      await d.runCommand(page, 'LoRA: Queue Recipe');
      if (name === 'long')
        await until(() => runsOf(workspace)[0]?.record?.state === 'running', 'the first run');
      else await row(`${name}.lora.json`).waitFor();
    }
    await until(
      async () => (await labels()).slice(0, 2).join() === 'one.lora.json,two.lora.json',
      'the queue',
    );
    await d.screenshot(page, path.join(shots, 'queue.png'));
    await chooseInMenu(page, row('two.lora.json'), 'Move Up');
    await until(
      async () => (await labels()).slice(0, 2).join() === 'two.lora.json,one.lora.json',
      'the new order',
    );
    await chooseInMenu(page, row('one.lora.json'), 'Remove from Queue');
    await until(async () => !(await labels()).includes('one.lora.json'), 'its removal');
    await chooseInMenu(page, row('r2'), 'Stop');
    await until(
      () => runsOf(workspace).length === 2 && runsOf(workspace)[1].record?.state === 'completed',
      'the second run',
    );
    assert.equal(path.basename(runsOf(workspace)[1].record.recipe_path), 'two.lora.json');
  });

  it('asks whether a second run waits for the first, and queues it by default', async () => {
    const before = runsOf(workspace).length;
    await openFile(page, 'long.lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    await until(
      () =>
        runsOf(workspace).length > before && runsOf(workspace).at(-1).record?.state === 'running',
      'a run',
    );
    await openFile(page, 'one.lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    await page.locator('.quick-input-title', { hasText: 'Another run is active' }).waitFor();
    await page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: 'Add to Queue' })
      .waitFor();
    await d.screenshot(page, path.join(shots, 'queue-or-now.png'));
    await page.keyboard.press('Enter');
    await row('one.lora.json').waitFor();
    await d.runCommand(page, 'LoRA: Run Recipe');
    await d.pickItem(page, 'Run Now');
    await until(() => {
      const { record } = runsOf(workspace).at(-1);
      return record?.recipe_path.endsWith('one.lora.json') && record.state === 'completed';
    }, 'a run beside the first');
    await until(
      async () => (await labels()).filter((label) => /^r2 ·/.test(label)).length === 3,
      'its loss in the view',
    );
    await chooseInMenu(page, row('one.lora.json'), 'Remove from Queue');
    await until(async () => !(await labels()).includes('one.lora.json'), 'its removal');
    await chooseInMenu(page, row('r2'), 'Stop');
    await until(
      () => runsOf(workspace).every(({ record }) => !/running|preparing/.test(record?.state)),
      'the end of both runs',
    );
  });

  it('asks the same when a stopped run is resumed, and continues it in its turn', async () => {
    const stopped = runsOf(workspace).findLast(({ record }) =>
      record.recipe_path.endsWith('long.lora.json'),
    );
    const state = () => runsOf(workspace).find(({ dir }) => dir === stopped.dir).record.state;
    assert.equal(state(), 'stopped');
    await openFile(page, 'long.lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    await until(() => runsOf(workspace).at(-1).record?.state === 'running', 'another run');
    await commandPick(
      page,
      'LoRA Run: Resume',
      ['Select a run to resume', 'r2'],
      ['is still active', 'Add to Queue'],
    );
    await until(
      async () => (await d.treeItems(page, 'Runs'))[0]?.description === 'continues · next',
      'the queue',
    );
    assert.equal(state(), 'stopped');
    await d.runCommand(page, 'LoRA Run: Stop');
    await until(() => state() === 'running', 'the resumed run');
    await commandPick(page, 'LoRA Run: Stop', ['Select a run to stop', 'r2']);
    await until(() => state() === 'stopped', 'its end');
  });

  it('trains the ranks of a sweep one after another, and reports how low the rank can go', async () => {
    await openFile(page, 'one.lora.json');
    await d.runCommand(page, 'LoRA: Sweep Ranks');
    await page.locator('.quick-input-title', { hasText: 'Sweep Ranks' }).waitFor();
    await d.typeInput(page, '4, 1');
    await page.locator('.tab.active', { hasText: 'Ranks of one' }).waitFor();
    await until(
      () =>
        runsOf(workspace).length === 7 &&
        runsOf(workspace).every(({ record }) => ['completed', 'stopped'].includes(record?.state)),
      'both runs of the sweep',
    );
    const swept = runsOf(workspace).slice(5);
    assert.deepEqual(
      swept.map(({ record }) => [record.recipe.lora.r, record.recipe.lora.lora_alpha]),
      [
        [1, 2],
        [4, 8],
      ],
    );
    await until(
      async () => /r = \d is enough|Higher ranks still help/.test(await body().innerText()),
      'the conclusion',
    );
    const text = await body().innerText();
    for (const { record } of swept)
      assert.ok(
        text.includes(record.trainable_parameters.toLocaleString('en')),
        `${record.trainable_parameters} in\n${text}`,
      );
    const [sweep] = readdirSync(path.join(workspace, '.lora/sweeps'));
    assert.deepEqual(readdirSync(path.join(workspace, '.lora/sweeps', sweep)).sort(), [
      'r1.lora.json',
      'r4.lora.json',
      'sweep.json',
    ]);
    assert.equal(readFileSync(path.join(workspace, 'one.lora.json'), 'utf8'), recipe(4));
    await d.screenshot(page, path.join(shots, 'sweep.png'));
    await row('Ranks of one').locator('.monaco-tl-twistie').click();
    await row('one r 1').waitFor();
    assert.match(
      (await d.treeItems(page, 'Runs')).find(({ label }) => label === 'Ranks of one').description,
      /^2 runs · best r\d · \d/,
    );
    await d.screenshot(page, path.join(shots, 'sweep-folded.png'));
  });

  it('trains every combination of the values of two keys, and names the best', async () => {
    const before = runsOf(workspace).length;
    await openFile(page, 'one.lora.json');
    await d.runCommand(page, 'LoRA: Sweep…');
    await page.locator('.quick-input-title', { hasText: 'Sweep' }).waitFor();
    for (const key of ['lora.r', 'training.learning_rate'])
      await page.locator('.quick-input-list .monaco-list-row', { hasText: key }).first().click();
    await page
      .locator('.quick-input-widget')
      .getByRole('button', { name: 'OK', exact: true })
      .click();
    await page.locator('.quick-input-message', { hasText: 'Values of lora.r' }).waitFor();
    await d.typeInput(page, '1, 2');
    await page.locator('.quick-input-message', { hasText: 'learning_rate' }).waitFor();
    await d.typeInput(page, '1e-4, 1e-3');
    await page.locator('.tab.active', { hasText: 'Sweep of one' }).waitFor();
    await until(
      () =>
        runsOf(workspace).length === before + 4 &&
        runsOf(workspace).every(({ record }) => ['completed', 'stopped'].includes(record?.state)),
      'the four runs',
    );
    assert.deepEqual(
      runsOf(workspace)
        .slice(before)
        .map(({ record: { recipe: own } }) => [own.lora.r, own.training.learning_rate]),
      [1, 2].flatMap((r) => [1e-4, 1e-3].map((rate) => [r, rate])),
    );
    await until(
      async () => /has the lowest validation loss/.test(await body().innerText()),
      'the conclusion',
    );
    await d.screenshot(page, path.join(shots, 'sweep-of-two-keys.png'));
    await row('Sweep of one').waitFor();
  });

  it('tunes a recipe within a budget, and offers what it has found', async () => {
    await openFile(page, 'two.lora.json');
    await d.runCommand(page, 'LoRA: Tune Recipe…');
    await page.locator('.quick-input-message', { hasText: 'How many minutes' }).waitFor();
    await d.typeInput(page, '0.4');
    await page.locator('.quick-input-list .monaco-list-row', { hasText: 'lora.r' }).waitFor();
    await page
      .locator('.quick-input-widget')
      .getByRole('button', { name: 'OK', exact: true })
      .click();
    await page.locator('.tab.active', { hasText: 'Tune of two' }).waitFor();
    await until(
      async () => /So far learning_rate .* at rung/.test(await body().innerText()),
      'a first rung',
    );
    await d.screenshot(page, path.join(shots, 'tune.png'));
    await row('Tune of two').waitFor();
    const offer = page.locator('.notification-list-item', { hasText: 'has found a recipe' });
    await offer.getByRole('button', { name: 'Open Tuned Recipe' }).click();
    await page.locator('.tab.active', { hasText: 'two.tuned.lora.json' }).waitFor();
    assert.match(
      readFileSync(path.join(workspace, 'two.tuned.lora.json'), 'utf8'),
      /^\/\/ Found by lora tune\./,
    );
  });

  it('overlays the selected runs', async () => {
    await row('one r 1').click();
    await row('one r 4').click({ modifiers: ['ControlOrMeta'] });
    await chooseInMenu(page, row('one r 4'), 'Overlay');
    await page.locator('.tab.active', { hasText: '2 runs' }).waitFor();
    await until(async () => /one r 1[^]*one r 4/.test(await body().innerText()), 'both runs');
    await checkThemes(workbench.server, page, 'overlay');
    await d.webview(page).locator('.runs button', { hasText: 'one r 4' }).click();
    await page.locator('.tab.active', { hasText: /train on tiny|one r 4/ }).waitFor();
  });
});
