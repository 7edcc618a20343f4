// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recipeMessage as message, settings, sizesMessage } from '../../support/rankPage.mjs';
import { openConfigure, post, startConfigure } from './configures.mjs';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  THEMES,
} from './openPage.mjs';

let pages;
before(async () => {
  pages = await startConfigure();
});
after(() => pages?.close());

const open = (data, options) => openConfigure(pages, data, options);

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings`, async () => {
    for (const [name, data] of [
      ['some', await message()],
      ['tight', await message({ r: 64, use_dora: true }, () => true, 1e8)],
      ['fault', { kind: 'fault', message: 'lora.json:3: "r" must be at least 1.' }],
    ]) {
      const shown = await open({ ...data, ...(name === 'tight' && { dirty: true }) }, { theme });
      const { page } = shown;
      if (name === 'some') {
        await page.locator('.fold:not([disabled])').first().click();
        await post(page, await sizesMessage(12e9));
        await page.locator('.sizes tbody tr').first().waitFor();
      }
      await screenshot(page, `configure-${name}-${theme}.png`);
      await assertAccessible(page);
      await page.setViewportSize({ width: 700, height: 1000 });
      await screenshot(page, `configure-${name}-${theme}-700.png`);
      if (name === 'some') {
        await page.setViewportSize({ width: 1300, height: 1000 });
        await page.locator('.sizes').scrollIntoViewIfNeeded();
        await screenshot(page, `configure-sizes-${theme}.png`);
      }
      await assertQuiet(shown);
      await shown.close();
    }
  });
}

test('shows the cost of each rank and writes the last one with lora_alpha', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const slider = page.locator('#r-slider');
  await slider.focus();
  await page.keyboard.press('ArrowRight');
  await page.locator('#r-slider[aria-valuetext="r = 10"]').waitFor();
  await eventually(async () => assert.equal(await page.locator('#r').inputValue(), '10'));
  const [preview] = await sent(page, 'preview');
  assert.deepEqual(preview.settings, { ...settings, r: 10, lora_alpha: 20 });
  const [apply] = await sent(page, 'apply');
  assert.deepEqual(apply.settings, preview.settings);
  const { figures } = await message({ r: 10, lora_alpha: 20 });
  await post(page, { kind: 'figures', figures });
  await page.locator('.tile .value', { hasText: figures.trainable.toLocaleString('en') }).waitFor();
  await page.locator('.checks input').first().click();
  await page.locator('#r').fill('4');
  await page.locator('#r').press('Enter');
  await eventually(async () =>
    assert.deepEqual((await sent(page, 'apply')).at(-1).settings, {
      ...settings,
      r: 4,
      lora_alpha: 20,
    }),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('runs and sweeps the recipe, and says that it is not saved', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const button = (name) => page.locator('vscode-button', { hasText: name });
  await button('Run Recipe').click();
  await sent(page, 'run');
  await button('Sweep Ranks').click();
  await sent(page, 'sweep');
  assert.equal(await page.locator('.unsaved').count(), 0);
  await post(page, { ...(await message()), dirty: true });
  await page.locator('.unsaved button', { hasText: 'Save' }).click();
  await sent(page, 'save');
  await assertQuiet(shown);
  await shown.close();
});

test('keeps what the user types while costs and recipes arrive', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const [r, alpha] = [page.locator('#r'), page.locator('#alpha')];
  const arrives = async (data) => {
    await post(page, data);
    const trainable = data.figures.trainable.toLocaleString('en');
    await page.locator('.tile .value', { hasText: trainable }).waitFor();
  };
  await r.fill('4');
  const { figures } = await message({ r: 64 });
  await arrives({ kind: 'figures', figures });
  assert.equal(await r.inputValue(), '4');
  await arrives(await message({ r: 2, lora_alpha: 6 }));
  assert.deepEqual([await r.inputValue(), await alpha.inputValue()], ['4', '6']);
  await r.press('Enter');
  await eventually(async () =>
    assert.deepEqual((await sent(page, 'apply')).at(-1).settings, {
      ...settings,
      r: 4,
      lora_alpha: 12,
    }),
  );
  // what the field shows when it is focused decides whether it has changed when it is left
  await eventually(async () => assert.equal(await alpha.inputValue(), '12'));
  await alpha.fill('30');
  await arrives({ ...(await message({ r: 16, lora_alpha: 32 })), applied: 1 });
  assert.deepEqual([await r.inputValue(), await alpha.inputValue()], ['16', '30']);
  await alpha.fill('12');
  await r.focus();
  await eventually(async () => assert.equal(await alpha.inputValue(), '32'));
  await assertQuiet(shown);
  await shown.close();
});

test('keeps the place of the slider while it is held, and writes it once it is let go', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const slider = page.locator('#r-slider');
  const { x, y, width, height } = await slider.boundingBox();
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.down();
  const held = await slider.inputValue();
  const { settings: shownSettings } = (await sent(page, 'preview')).at(-1);
  assert.ok(shownSettings.r > 10);
  await post(page, await message({ r: 2, lora_alpha: 4 }));
  await page.locator('#r-slider[aria-valuetext="r = 2"]').waitFor();
  assert.equal(await slider.inputValue(), held);
  await page.mouse.up();
  await eventually(async () =>
    assert.equal((await sent(page, 'apply')).at(-1).settings.r, shownSettings.r),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('replaces a rank or an alpha that cannot be by that of the recipe', async () => {
  const shown = await open(await message());
  const { page } = shown;
  for (const [id, impossible, own] of [
    ['#r', '0', '8'],
    ['#r', '300', '8'],
    ['#r', '2.5', '8'],
    ['#alpha', '-1', '16'],
    ['#alpha', '', '16'],
  ]) {
    await page.locator(id).fill(impossible);
    await page.locator(id).press('Enter');
    await eventually(async () => assert.equal(await page.locator(id).inputValue(), own));
  }
  assert.deepEqual(await page.evaluate(() => window.sent.map(({ kind }) => kind)), ['ready']);
  await assertQuiet(shown);
  await shown.close();
});

test('shows groups as checked, unchecked or mixed, and writes no empty selection', async () => {
  const data = await message();
  const shown = await open(data);
  const { page } = shown;
  const group = (name) =>
    page.locator('.tree > li', {
      has: page.locator('.group label', { hasText: new RegExp(`^${name}$`) }),
    });
  const box = (name) => group(name).locator('.group input');
  await eventually(async () => assert.ok(await box('q_proj').isChecked()));
  await eventually(async () => assert.ok(!(await box('up_proj').isChecked())));
  await group('q_proj').locator('.fold').click();
  await group('q_proj').locator('.items input').first().click();
  await eventually(async () => assert.ok(await box('q_proj').evaluate((own) => own.indeterminate)));
  const indices = (name) => data.modules.flatMap((m, i) => (m.kind === name ? [i] : []));
  await eventually(async () =>
    assert.deepEqual(
      (await sent(page, 'apply')).at(-1).chosen.sort((a, b) => a - b),
      [...indices('q_proj').slice(1), ...indices('v_proj')].sort((a, b) => a - b),
    ),
  );
  await box('up_proj').check();
  const before = (await sent(page, 'apply')).length;
  for (const name of ['q_proj', 'v_proj', 'up_proj']) {
    await box(name).check();
    await box(name).uncheck();
  }
  await page.getByText('Choose at least one module').waitFor();
  await eventually(async () => assert.deepEqual((await sent(page, 'preview')).at(-1).chosen, []));
  await eventually(async () => assert.ok((await sent(page, 'apply')).length > before));
  await eventually(async () =>
    assert.ok((await sent(page, 'apply')).every((own) => own.chosen.length > 0)),
  );
  await page.locator('#by').selectOption('layer');
  await group('Layer 0').locator('.fold').click();
  await group('Layer 0').getByText('k_proj').click();
  await eventually(async () =>
    assert.deepEqual((await sent(page, 'apply')).at(-1).chosen, [indices('k_proj')[0]]),
  );
  await eventually(async () =>
    assert.deepEqual(await page.evaluate(() => window.kept), {
      recipe: '/w/lora.json',
      by: 'layer',
      open: ['kind q_proj', 'layer 0'],
    }),
  );
  await assertQuiet(shown);
  await shown.close();
});

test('applies advice by button and follows external changes of the recipe', async () => {
  const shown = await open(await message());
  const { page } = shown;
  await page
    .locator('.advice li', { hasText: 'r = 3 would keep 99%' })
    .locator('vscode-button')
    .click();
  await eventually(async () =>
    assert.deepEqual((await sent(page, 'act')).at(-1), { kind: 'act', act: 0 }),
  );
  await post(
    page,
    await message({ r: 2, lora_alpha: 4, use_dora: true }, (name) => name.endsWith('o_proj')),
  );
  await page.waitForFunction(() => document.querySelector('#r').value === '2');
  await eventually(async () =>
    assert.ok(
      await page.locator('.checks label', { hasText: 'DoRA' }).locator('input').isChecked(),
    ),
  );
  await post(page, { kind: 'fault', message: 'lora.json:3: no number' });
  await page.getByText('lora.json:3: no number').waitFor();
  await post(page, { kind: 'fault', message: 'There is no base model at x.', missing: 'base' });
  await page.getByText('Base model not found').waitFor();
  for (const name of ['Choose Base Model…', 'Download Base Model…'])
    await page.getByRole('button', { name }).click();
  for (const kind of ['chooseBase', 'downloadBase'])
    await eventually(async () => assert.equal((await sent(page, kind)).length, 1));
  await post(page, await message());
  await page.locator('#r').waitFor();
  await eventually(async () => assert.equal(await page.locator('#r').inputValue(), '8'));
  await assertQuiet(shown);
  await shown.close();
});

test('keeps the size of checkboxes beside long labels and themes the slider track', async () => {
  const shown = await open(await message(), { width: 320 });
  const { page } = shown;
  const widths = () =>
    page.locator('.checks input').evaluateAll((boxes) =>
      boxes.map((box) => {
        const { width, height } = box.getBoundingClientRect();
        return width / height;
      }),
    );
  await eventually(async () => assert.deepEqual(await widths(), [1, 1, 1]));
  const slider = page.locator('#r-slider');
  await eventually(async () =>
    assert.equal(await slider.evaluate((own) => getComputedStyle(own).appearance), 'none'),
  );
  await shown.close();
});

test('does not revert a choice when an older recipe arrives', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const box = (name) =>
    page.locator('.tree .group label', { hasText: new RegExp(`^${name}$`) }).locator('input');
  await box('k_proj').check();
  await box('o_proj').check();
  await post(page, { ...(await message({}, (name) => /[qvk]_proj/.test(name))), applied: 1 });
  // the answer after it shows that the older recipe has arrived
  const { figures } = await message({ r: 128 });
  await post(page, { kind: 'figures', figures });
  await page.locator('.tile .value', { hasText: figures.trainable.toLocaleString('en') }).waitFor();
  assert.ok(await box('o_proj').isChecked());
  await post(page, { ...(await message({}, (name) => /[qvko]_proj/.test(name))), applied: 2 });
  await page.locator('.tile .sub', { hasText: '8 modules' }).waitFor();
  await eventually(async () => assert.ok(await box('o_proj').isChecked()));
  await shown.close();
});

test('writes two choices made within one frame', async () => {
  const shown = await open(await message());
  const { page } = shown;
  await page.evaluate(() => {
    const set = (id, value) => {
      const field = document.querySelector(id);
      field.value = value;
      field.dispatchEvent(new window.Event('change'));
    };
    set('#alpha', '24');
    set('#r', '16');
  });
  await eventually(async () =>
    assert.deepEqual((await sent(page, 'apply')).at(-1).settings, {
      ...settings,
      r: 16,
      lora_alpha: (24 * 16) / settings.r,
    }),
  );
  await assertQuiet(shown);
  await shown.close();
});
