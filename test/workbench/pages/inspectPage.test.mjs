// node --test test/workbench/pages
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { tsImport } from 'tsx/esm/api';
import {
  assertAccessible,
  assertQuiet,
  eventually,
  screenshot,
  sent,
  startPages,
  THEMES,
} from './openPage.mjs';

const root = path.resolve(import.meta.dirname, '../../..');

let pages, host;
before(async () => {
  const source = (name) => tsImport(`../../../src/inspect/${name}`, import.meta.url);
  const [file, statistics] = await Promise.all([source('tensorFile.ts'), source('statistics.ts')]);
  host = { ...file, ...statistics };
  pages = await startPages('inspect', {});
});
after(() => pages?.close());

const post = (page, data) => page.evaluate((value) => window.postMessage(value, '*'), data);

/** The page with what the host reads of a file, and the host's answer to what it asks. */
async function open(name, options) {
  const file = await host.openTensorFile(path.join(root, 'test/fixtures', name));
  const shown = await pages.open(options);
  const { page } = shown;
  await post(page, { kind: 'file', name: path.basename(name), ...file.facts });
  await page.locator('h1').waitFor();
  const measure = async (tensor) => {
    await page.locator('button.link', { hasText: tensor }).first().click();
    await eventually(async () => assert.equal((await sent(page, 'measure')).at(-1).tensor, tensor));
    await post(page, {
      kind: 'values',
      tensor,
      values: host.valuesOf(await file.readF32(tensor)),
    });
    await page.locator('.histogram').waitFor();
  };
  return {
    ...shown,
    file,
    measure,
    close: async () => {
      await shown.close();
      await file.close();
    },
  };
}

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings`, async () => {
    for (const name of [
      'real/smollm2/train/final/adapter_model.safetensors',
      'llama/formats/gguf/adapter.gguf',
    ]) {
      const shown = await open(name, { theme });
      const { page, file } = shown;
      await shown.measure(file.facts.tensors.find(({ shape }) => shape.length === 2).name);
      await screenshot(page, `inspect-${path.extname(name).slice(1)}-${theme}.png`);
      await assertAccessible(page);
      await assertQuiet(shown);
      await shown.close();
    }
  });
}

test('shows the format, a bordered field and no white space around the histogram', async () => {
  const shown = await open('llama/formats/gguf/adapter.gguf', { theme: 'light' });
  const { page, file, measure } = shown;
  await eventually(async () =>
    assert.match(await page.locator('header .hint').innerText(), /^GGUF: \d+ tensors/),
  );
  const border = await page
    .locator('input[type=search]')
    .evaluate((field) => getComputedStyle(field).borderTopColor);
  assert.notEqual(border, 'rgba(0, 0, 0, 0)');
  const title = page.locator('#values-title');
  await eventually(async () => assert.equal(await title.innerText(), 'Values'));
  const { name } = file.facts.tensors.find(({ shape }) => shape.length === 2);
  await measure(name);
  await eventually(async () => assert.equal(await title.innerText(), `Values of ${name}`));
  const bars = await page.locator('.histogram .bars').getAttribute('d');
  assert.ok(bars.split('M').length > 40, bars);
  await page.getByText('Logarithmic counts').waitFor();
  assert.match(await page.locator('.values dl').innerText(), /More than 6 deviations/);
  await shown.close();
});

test('says what lora inspect says of an adapter, until its file is read again', async () => {
  const shown = await open('llama/lora-qv/adapter/adapter_model.safetensors');
  const { page } = shown;
  const list = page.locator('ul.findings');
  assert.equal(await list.isVisible(), false);
  const findings = ['The update is zero.', 'target_modules: "<b>x</b>" matches no module.'];
  await post(page, { kind: 'findings', findings });
  await eventually(async () =>
    assert.deepEqual(await list.locator('li').allInnerTexts(), findings),
  );
  await assertAccessible(page);
  await post(page, { kind: 'file', name: 'again', ...shown.file.facts });
  await eventually(async () => assert.equal(await list.isVisible(), false));
  await assertQuiet(shown);
  await shown.close();
});

test('filters and sorts, and explains why values cannot be shown', async () => {
  const shown = await open('llama/lora-qv/adapter/adapter_model.safetensors');
  const { page, file } = shown;
  await page.locator('input[type=search]').fill('lora_A q_proj');
  const rows = page.locator('.tensors tbody tr');
  const names = () => rows.evaluateAll((own) => own.map((row) => row.dataset.name));
  const wanted = file.facts.tensors
    .map(({ name }) => name)
    .filter((name) => name.includes('lora_A') && name.includes('q_proj'));
  assert.ok(wanted.length > 0);
  await eventually(async () => assert.deepEqual(await names(), wanted));
  await page.locator('button.sort', { hasText: 'Size' }).click();
  await eventually(async () =>
    assert.equal(await page.locator('th[aria-sort="descending"]').innerText(), 'Size'),
  );
  await rows.first().locator('button').click();
  const { tensor } = (await sent(page, 'measure')).at(-1);
  assert.ok(wanted.includes(tensor));
  await post(page, { kind: 'noValues', tensor, why: 'too large' });
  await page.locator('.values', { hasText: 'too large' }).waitFor();
  await post(page, { kind: 'fault', message: 'x.safetensors: damaged' });
  await page.getByText('x.safetensors: damaged').waitFor();
  await assertQuiet(shown);
  await shown.close();
});

test('shows what reorders text and what nobody sees, and asks for tensors by their real names', async () => {
  const shown = await pages.open();
  const { page } = shown;
  const name = 'model.\u202egnp\u200b.q_proj';
  const text = 'שלום \u2066a\u2069 \u{e0061}';
  await post(page, {
    kind: 'file',
    name: `${name}.gguf`,
    format: 'gguf',
    bytes: 64,
    metadata: [{ key: name, value: text }],
    tensors: [{ name, dtype: 'F32', shape: [4], bytes: 16 }],
  });
  await page.locator('button.link').click();
  assert.equal((await sent(page, 'measure')).at(-1).tensor, name);
  await post(page, { kind: 'noValues', tensor: name, why: text });
  const html = await eventually(async () => {
    const content = await page.locator('main').innerHTML();
    assert.equal(content.split('model.\\u202egnp\\u200b.q_proj').length - 1, 5);
    assert.equal(content.split('שלום \\u2066a\\u2069 \\udb40\\udc61').length - 1, 2);
    return content;
  });
  assert.doesNotMatch(html, /[\u202a-\u202e\u2066-\u2069\u200b\u{e0061}]/u);
  await assertQuiet(shown);
  await shown.close();
});
