// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  startPages,
  THEMES,
} from './openPage.mjs';

const root = path.resolve(import.meta.dirname, '../../..');
const fixtures = path.join(root, 'test/fixtures');

/** What the engine itself says. */
function compared(...args) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'dist/cli.js'), 'compare', ...args, '--json'],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

const inFixtures = (...names) => names.map((name) => path.join(fixtures, name));
const large = compared(...inFixtures('real/smollm2/train/final', 'real/smollm2/pair_b'));
const mixed = compared(
  ...inFixtures('llama/pair-mixed-rank/adapter_a', 'llama/pair-mixed-rank/adapter_b'),
  '--base',
  path.join(fixtures, 'llama/base'),
);
const equal = compared(...inFixtures('llama/formats/adapter', 'llama/formats/mlx'));

let pages;
before(async () => {
  pages = await startPages('compare', { a: '/runs/first/adapter', b: '/runs/second/adapter' });
});
after(() => pages?.close());

const send = (page, comparison) =>
  page.evaluate(
    (data) =>
      window.postMessage(
        { kind: 'comparison', names: ['first', 'second'], curves: true, comparison: data },
        '*',
      ),
    comparison,
  );

async function open(comparison, options) {
  const shown = await pages.open(options);
  await send(shown.page, comparison);
  await shown.page.locator('h1').waitFor();
  return shown;
}

const cells = (page) => page.locator('.map td[data-level]');

for (const theme of THEMES) {
  test(`${theme}: shows map, spectrum and table without errors or serious axe findings`, async () => {
    for (const [name, comparison] of [
      ['large', large],
      ['mixed', mixed],
      ['equal', equal],
    ]) {
      const shown = await open(comparison, { theme });
      const { page } = shown;
      await eventually(async () =>
        assert.ok(
          await page.locator('.spectrum canvas').evaluate((canvas) =>
            canvas
              .getContext('2d')
              .getImageData(0, 0, canvas.width, canvas.height)
              .data.some((value) => value > 0),
          ),
          'the spectrum is blank',
        ),
      );
      await screenshot(page, `compare-${name}-${theme}.png`);
      await assertAccessible(page);
      await assertQuiet(shown);
      await shown.close();
    }
  });
}

test('shows the same values in the map and the table', async () => {
  const shown = await open(large);
  const { page } = shown;
  await eventually(async () => assert.equal(await cells(page).count(), large.modules.length));
  const [first] = large.modules;
  await page.locator('#quantity').selectOption('norm_a');
  const text = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(first.a.norm);
  const cell = page.locator(`.map td[aria-label^="${first.path}:"]`);
  await eventually(async () => assert.equal(await cell.innerText(), text));
  await eventually(async () => assert.match(await cell.getAttribute('aria-label'), /‖dW‖ of A/));
  const line = page.locator('.modules tbody tr', {
    has: page.getByRole('button', { name: first.path, exact: true }),
  });
  await eventually(async () => assert.ok((await line.innerText()).split(/\s+/).includes(text)));
  const deepest = large.modules.reduce((most, own) => (own.a.norm > most.a.norm ? own : most));
  await eventually(async () =>
    assert.equal(
      await page.locator(`.map td[aria-label^="${deepest.path}:"]`).getAttribute('data-level'),
      '8',
    ),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('moves through the map with the arrow keys and updates the spectrum', async () => {
  const shown = await open(large);
  const { page } = shown;
  await page.locator('.map td[tabindex="0"]').focus();
  const title = () => page.locator('.spectrum h2').innerText();
  const cellAt = (row, column) =>
    page.locator('.map tbody tr').nth(row).locator('td').nth(column).getAttribute('aria-label');
  const pathAt = async (row, column) => (await cellAt(row, column)).split(':')[0];
  const titleOf = (module) => `Singular values of ${module}`;
  assert.notEqual(await pathAt(0, 0), await pathAt(1, 1));
  await eventually(async () => assert.equal(await title(), titleOf(await pathAt(0, 0))));
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  await eventually(async () => {
    const module = await pathAt(1, 1);
    const selected = page.locator('.map td[aria-selected="true"]');
    assert.ok((await selected.getAttribute('aria-label')).startsWith(`${module}:`));
    assert.equal(await title(), titleOf(module));
  });
  const [layer] = (await page.locator('.map tbody tr').nth(1).innerText()).split('\t');
  assert.ok((await title()).includes(`.${layer.trim()}.`), `${await title()}, not layer ${layer}`);
  await eventually(async () =>
    assert.equal(await page.locator('.map td[tabindex="0"]').count(), 1),
  );
  await page.keyboard.press('Home');
  await eventually(async () => assert.equal(await title(), titleOf(await pathAt(1, 0))));
  await eventually(async () =>
    assert.match(
      await page.locator('.spectrum canvas').getAttribute('aria-label'),
      /Singular values, largest first\. A: [\d.]+/,
    ),
  );
  await shown.close();
});

test('sorts and filters the table and restores both after a reload', async () => {
  const shown = await open(large);
  const { page } = shown;
  const paths = () => page.locator('.modules tbody th').allInnerTexts();
  await page.getByRole('button', { name: '‖dW‖ A' }).click();
  const wanted = [...large.modules].sort((x, y) => y.a.norm - x.a.norm).map((own) => own.path);
  await eventually(async () => assert.deepEqual((await paths()).slice(0, 5), wanted.slice(0, 5)));
  await eventually(async () =>
    assert.equal(await page.locator('.modules th[aria-sort="descending"]').count(), 1),
  );
  await page.getByRole('searchbox').fill('29 q_proj');
  await eventually(async () =>
    assert.deepEqual(await paths(), ['model.layers.29.self_attn.q_proj']),
  );
  const kept = await page.evaluate(() => window.kept);
  await shown.close();
  const again = await open(large, { state: kept });
  await eventually(async () =>
    assert.equal(await again.page.getByRole('searchbox').inputValue(), '29 q_proj'),
  );
  await eventually(async () =>
    assert.equal(
      await again.page.locator('.modules th[aria-sort="descending"]').innerText(),
      '‖dW‖ A',
    ),
  );
  await again.close();
});

test('shows modules in only one adapter, ranks and values relative to the base', async () => {
  const shown = await open(mixed);
  const { page } = shown;
  const alone = mixed.only_a.length + mixed.only_b.length;
  await eventually(async () =>
    assert.equal(await page.locator('.modules tbody tr').count(), mixed.modules.length + alone),
  );
  if (alone > 0)
    await eventually(async () =>
      assert.match(await page.locator('.words').innerText(), /Only in (first|second): \d+ modules/),
    );
  await page.locator('#quantity').selectOption('relative_a');
  const {
    path: own,
    a: { norm },
  } = mixed.modules[0];
  const weight = mixed.layers.find((layer) => layer.path === own).norm_base;
  await eventually(async () =>
    assert.ok(
      (await page.locator(`.map td[aria-label^="${own}:"]`).innerText()).startsWith(
        String(Number((norm / weight).toPrecision(3))).slice(0, 5),
      ),
    ),
  );
  await page.locator('#quantity').selectOption('used_b');
  await eventually(async () =>
    assert.match(
      await page.locator(`.map td[aria-label^="${own}:"]`).innerText(),
      new RegExp(` / ${mixed.modules[0].b.r}$`),
    ),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('says once of each adapter that its update is zero, and that both are the same', async () => {
  const total = { norm_a: 0, norm_b: 0, norm_of_difference: 0, cosine: null };
  const zero = { ...equal, modules: [], total, magnitudes: [{ path: 'x', difference: 0 }] };
  const { page, close } = await open(zero);
  const words = () => page.locator('.words').innerText();
  await eventually(async () => {
    const text = await words();
    for (const sentence of [
      /Both adapters are equal/g,
      /The update of first is zero\./g,
      /The update of second is zero\./g,
      /DoRA’s magnitudes are the same\./g,
    ])
      assert.equal(text.match(sentence)?.length, 1, text);
  });
  await send(page, { ...zero, equal: false, total: { ...total, norm_b: 2 } });
  await eventually(async () => {
    assert.match(await words(), /The update of first is zero\./);
    assert.doesNotMatch(await words(), /update of second is zero|are equal|NaN|∞/);
  });
  await close();
});

test('shows equality, and reports an invalid message', async () => {
  const { page, close } = await open(equal);
  await eventually(async () =>
    assert.match(await page.locator('.words').innerText(), /Both adapters are equal/),
  );
  await page.getByText('Open as Text Diff').click();
  await eventually(async () =>
    assert.deepEqual(
      await page.evaluate(
        () => window.sent.filter((message) => message.kind === 'openDiff').length,
      ),
      1,
    ),
  );
  await page.evaluate(() =>
    window.postMessage({ kind: 'comparison', names: ['a'], comparison: {} }, '*'),
  );
  await page.waitForFunction(() => window.sent.some((message) => message.kind === 'trouble'));
  await eventually(async () =>
    assert.match(await page.locator('.words').innerText(), /Both adapters are equal/),
  );
  await close();
});

test('shows why a comparison failed', async () => {
  const { page, close } = await pages.open();
  await page.evaluate(() =>
    window.postMessage({ kind: 'failed', message: 'There is no adapter.' }, '*'),
  );
  const alert = page.getByRole('alert');
  await alert.getByRole('heading', { name: 'The comparison failed' }).waitFor();
  const text = alert.getByText('There is no adapter.', { exact: true });
  assert.equal(await text.evaluate((own) => getComputedStyle(own).borderLeftWidth), '3px');
  await close();
});

test('opens the playground and the run overlay by button', async () => {
  const shown = await open(large);
  const { page } = shown;
  await page.locator('vscode-button', { hasText: 'Try Both' }).click();
  await page.locator('vscode-button', { hasText: 'Overlay Curves' }).click();
  await eventually(async () =>
    assert.deepEqual((await page.evaluate(() => window.sent)).slice(1), [
      { kind: 'try' },
      { kind: 'curves' },
    ]),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('reverses the order after two clicks within one frame', async () => {
  const shown = await open(large);
  const { page } = shown;
  await page.evaluate(() => {
    for (let i = 0; i < 2; i++) document.querySelectorAll('.modules .sort')[2].click();
  });
  await page.locator('.modules th[aria-sort="ascending"]', { hasText: '‖dW‖ A' }).waitFor();
  await shown.close();
});
