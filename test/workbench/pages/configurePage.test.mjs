// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { createRequire } from 'node:module';
import path from 'node:path';
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

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '../../..');

/** The host's own numbers for the tiny base of the fixtures. */
async function hostMessages() {
  const contents = `
    import { adviceFor } from './src/host/configure/advice';
    import { figuresOf } from './src/host/configure/figures';
    import { factsOf } from './src/host/setup/costs';
    import { answerTo, readBaseHeaders } from './src/inspect/answer';
    import { sizesHere } from './src/host/configure/sizes';
    import { kindNames, layerOf } from './src/lora/selection';
    import { parseRecipe } from './src/shared/recipeFile';
    const answers = { ask: (kind, asked) => answerTo({ kind, asked }) };
    export const sizesMessage = async (available) => ({
      kind: 'sizes',
      sizes: await sizesHere(answers, { hasBf16: true, hasKernels: true, multipliesBf16: true, available }),
    });
    export async function recipeMessage(file, settings, choose, there, facts, { training = {}, machine = {} } = {}) {
      const base = factsOf(await readBaseHeaders(file));
      const recipe = parseRecipe(JSON.stringify({ base: file, dataset: 'x.jsonl', training }), 'lora.json');
      const chosen = base.modules.filter((m) => choose(m.path));
      const figures = figuresOf(base, recipe, { settings, chosen, facts }, { hasBf16: true, hasKernels: true, multipliesBf16: true, available: there, ...machine });
      const kind = kindNames(base.modules);
      const advice = adviceFor({ base, settings, chosen, figures, rows: 120, rates: [], used: { run: 'train on tiny', adapter: '/a', paid: 8, kept: 3 } });
      return { kind: 'recipe', file: 'lora.json', applied: 0, dirty: false, base: base.name, settings, figures, chosen: base.modules.flatMap((m, i) => (choose(m.path) ? [i] : [])),
        modules: base.modules.map((m) => ({ path: m.path, kind: kind(m), layer: layerOf(m.path), in_features: m.in_features, out_features: m.out_features })),
        advice: advice.map(({ text, button }, act) => ({ text, button: button && { label: button.label, act } })) };
    }`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    absWorkingDir: root,
    alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
    logLevel: 'warning',
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(
    module,
    module.exports,
    require,
  );
  return module.exports;
}

const settings = { r: 8, lora_alpha: 16, use_rslora: false, use_dora: false };
let pages, message, sizesMessage;
before(async () => {
  const { recipeMessage, ...others } = await hostMessages();
  ({ sizesMessage } = others);
  message = (
    changes = {},
    choose = (name) => /[qv]_proj/.test(name),
    there = 8e9,
    facts = null,
    more = {},
  ) =>
    recipeMessage(
      path.join(root, 'test/fixtures/llama/base'),
      { ...settings, ...changes },
      choose,
      there,
      facts,
      more,
    );
  pages = await startPages('configure', { recipe: '/w/lora.json' });
});
after(() => pages?.close());

const post = (page, data) => page.evaluate((value) => window.postMessage(value, '*'), data);

async function open(data, options) {
  const shown = await pages.open(options);
  await post(shown.page, data);
  await shown.page.locator('h1').waitFor();
  return shown;
}

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

test('estimates memory and time for the rows of the dataset, once they are counted', async () => {
  const shown = await open(await message());
  const { page } = shown;
  await page.getByText('For a step of 4 examples of at most 512 tokens.').waitFor();
  const rows = { examples: 150, tokens: 6_000, longest: 45 };
  const counted = await message({}, undefined, undefined, rows);
  const before = (await message()).figures.memory.total;
  assert.ok(counted.figures.memory.total < before, `${counted.figures.memory.total}, ${before}`);
  await post(page, counted);
  await page.getByText('the longest row of the dataset has 45 tokens').waitFor();
  await page.locator('.caption', { hasText: '3 epochs, 102 steps, about 10 sec' }).waitFor();
  await assertQuiet(shown);
  await shown.close();
});

test('says of each type whether a step fits', async () => {
  const { types } = (await message()).figures;
  const [{ bytes, recomputed_bytes }] = types;
  const shown = await open(await message());
  const { page } = shown;
  const verdicts = () => page.locator('table.types td:last-child').allTextContents();
  assert.deepEqual(
    await page.locator('table.types th[scope=row]').allTextContents(),
    types.map(({ base_dtype }) => base_dtype),
  );
  assert.deepEqual(new Set(await verdicts()), new Set(['fits']));
  for (const [there, verdict] of [
    [bytes, 'fits with gradient checkpointing'],
    [recomputed_bytes - 1, 'does not fit'],
  ]) {
    const { figures } = await message({}, undefined, there);
    await post(page, { kind: 'figures', figures });
    await eventually(async () => assert.equal((await verdicts())[0], verdict));
  }
  await assertQuiet(shown);
  await shown.close();
});

test('says in words what auto keeps the base in, and why', async () => {
  const shown = await open(await message());
  const { page } = shown;
  const noBf16 = { hasBf16: false, multipliesBf16: false };
  const slowBf16 = { multipliesBf16: false };
  const there = 8e9;
  const [float32, bfloat16] = (await message({}, undefined, there)).figures.types;
  assert.deepEqual([float32.base_dtype, bfloat16.base_dtype], ['float32', 'bfloat16']);
  const between = (1.1 * (bfloat16.recomputed_bytes + float32.recomputed_bytes)) / 2;
  for (const [machine, training, available, wanted] of [
    [{}, {}, there, 'auto chooses bfloat16, which this processor multiplies natively. No layer'],
    [slowBf16, {}, there, 'auto chooses float32, because this processor multiplies nothing else'],
    [noBf16, {}, there, 'auto chooses float32, because this processor multiplies nothing else'],
    [slowBf16, {}, between, 'auto chooses bfloat16, because more exact types do not fit.'],
    [noBf16, {}, between, 'auto chooses float32, because this processor multiplies nothing else'],
    [noBf16, { base_dtype: 'bfloat16' }, there, 'does not have: float32 is used.'],
    [{}, { base_dtype: 'float32' }, there, 'The recipe keeps the base in float32.'],
    [{}, { quantize: 'nf4' }, there, 'The recipe keeps the base in nf4.'],
    [{}, { gradient_checkpointing: true }, there, 'recomputes 1 of 2 layers in the backward'],
  ]) {
    const { figures } = await message({}, undefined, available, null, { machine, training });
    await post(page, { kind: 'figures', figures });
    await page.locator('.step', { hasText: wanted }).waitFor();
    const listed = await page.locator('table.types th[scope=row]').allTextContents();
    assert.equal(listed.includes('bfloat16'), machine.hasBf16 !== false);
  }
  const { figures } = await message({}, undefined, there, null, { training: { method: 'full' } });
  await post(page, { kind: 'figures', figures });
  await page.locator('.step').waitFor({ state: 'detached' });
  await assertQuiet(shown);
  await shown.close();
});

test('says of models of common sizes what fits on this machine, in each form', async () => {
  const shown = await open(await message());
  const { page } = shown;
  assert.equal(await page.locator('.sizes').count(), 0);
  const rowOf = (name) => page.locator('.sizes tbody tr', { hasText: name }).locator('td');
  for (const [there, large, mid] of [
    [12e9, /^(.* does not fit,?){6}$/, ['exceeds', 'exceeds', 'recomputed', 'recomputed']],
    [400e9, /^(.* fits,?){6}$/, [null, null, null, null]],
  ]) {
    const data = await sizesMessage(there);
    await post(page, data);
    const available = data.sizes.there;
    assert.equal(available, there);
    await eventually(async () =>
      assert.match((await rowOf('14B').allTextContents()).map((own) => `${own},`).join(''), large),
    );
    const fits = await rowOf('Qwen2.5-7B').evaluateAll((cells) =>
      cells.map((cell) => cell.getAttribute('data-fit')),
    );
    assert.deepEqual(fits.slice(0, 4), mid);
    assert.equal(fits.length, 6);
  }
  assert.deepEqual(await page.locator('.sizes thead th').allTextContents(), [
    'Model',
    'float32',
    'bfloat16',
    'int8',
    'nf4',
    'Q8_0',
    'Q4_K',
  ]);
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
