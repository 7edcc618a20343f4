// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
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

const root = path.resolve(import.meta.dirname, '../../..');
const fixture = (name) => path.join(root, 'test/fixtures', name);

let pages, certificate;
before(async () => {
  const output = path.join(mkdtempSync(path.join(tmpdir(), 'lora-merge-')), 'merged');
  execFileSync(process.execPath, [
    path.join(root, 'dist/cli.js'),
    ...['merge', '--base', fixture('llama/base'), '--adapter', fixture('llama/lora-qv/adapter')],
    ...['--output', output, '--dtype', 'bfloat16'],
  ]);
  certificate = JSON.parse(readFileSync(path.join(output, 'merge.json'), 'utf8'));
  pages = await startPages('certificate', {});
});
after(() => pages?.close());

const post = (page, data) => page.evaluate((value) => window.postMessage(value, '*'), data);
const message = (changes = {}) => ({
  kind: 'certificate',
  name: 'tiny-git-commands',
  form: 'folder',
  certificate: { ...certificate, ...changes },
});

async function open(data, options) {
  const shown = await pages.open(options);
  await post(shown.page, data);
  await shown.page.locator('h1').waitFor();
  return shown;
}

for (const theme of THEMES) {
  test(`${theme}: has no errors or serious axe findings`, async () => {
    for (const width of [700, 1440]) {
      const shown = await open(message(), { theme, width });
      await shown.page.locator('.changes summary').click();
      await screenshot(shown.page, `certificate-${width}-${theme}.png`);
      await assertAccessible(shown.page);
      await assertQuiet(shown);
      await shown.close();
    }
  });
}

test('says what was merged from what, how large it is and how exact', async () => {
  const shown = await open(message());
  const { page } = shown;
  const text = await page.locator('main').innerText();
  assert.match(text, /tiny-git-commands/);
  assert.match(text, /0\.5 times the base model’s/);
  assert.match(text, /F32\s+BF16/);
  assert.match(text, /Same top token/);
  assert.equal(
    await page.locator('.changes tbody tr').count(),
    certificate.tensors.length,
    'one row for each changed tensor',
  );
  for (const [name, kind] of [
    ['Try Model', 'try'],
    ['Verify Files', 'verify'],
    ['Open as JSON', 'json'],
  ]) {
    await page.locator('vscode-button', { hasText: name }).click();
    await sent(page, kind);
  }
  assert.equal(await page.locator('vscode-button', { hasText: 'Modelfile' }).count(), 0);
  const states = (files) => files.map(({ file }) => ({ file, state: 'same' }));
  const { inputs, outputs } = certificate;
  await post(page, {
    kind: 'verified',
    outputs: outputs.map(({ file }) => ({ file, state: 'changed' })),
    inputs: states(inputs),
  });
  await page.locator('td[data-state="changed"]').first().waitFor();
  assert.equal(await page.locator('td[data-state="same"]').count(), inputs.length);
  await assertQuiet(shown);
  await shown.close();
});

test('offers float32 when rounding loses updates, and shows certificates without sizes', async () => {
  const halved = (tensor) => ({ ...tensor, unmoved: tensor.elements / 2 });
  const tensors = certificate.tensors.map(halved);
  const shown = await open(message({ tensors, sizes: undefined, parity: null }));
  const { page } = shown;
  await page.locator('.warning', { hasText: '50% of the updated values' }).waitFor();
  await page.locator('vscode-button', { hasText: 'Merge Again in float32' }).click();
  await sent(page, 'exactly');
  assert.match(await page.locator('main').innerText(), /was not compared/);
  await post(page, { kind: 'fault', message: 'merge.json: damaged' });
  await eventually(async () => assert.match(await page.innerText('main'), /merge\.json: damaged/));
  await assertQuiet(shown);
  await shown.close();
});
