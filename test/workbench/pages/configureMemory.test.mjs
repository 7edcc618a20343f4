// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recipeMessage as message, sizesMessage } from '../../support/rankPage.mjs';
import { openConfigure, post, startConfigure } from './configures.mjs';
import { assertQuiet, eventually } from './openPage.mjs';

let pages;
before(async () => {
  pages = await startConfigure();
});
after(() => pages?.close());

const open = (data, options) => openConfigure(pages, data, options);

test('estimates memory and time for the rows of the dataset, once they are counted', async () => {
  const shown = await open(await message());
  const { page } = shown;
  await page.getByText('For a step of 4 examples of at most 512 tokens.').waitFor();
  const rows = { examples: 150, tokens: 6_000, longest: 45, sequences: 1 };
  const counted = await message({}, undefined, undefined, { facts: rows });
  const before = (await message()).figures.memory.total;
  assert.ok(counted.figures.memory.total < before, `${counted.figures.memory.total}, ${before}`);
  await post(page, counted);
  await page.getByText('the longest row of the dataset has 45 tokens').waitFor();
  await page.locator('.caption', { hasText: '3 epochs, 102 steps, about 10 sec' }).waitFor();
  await assertQuiet(shown);
  await shown.close();
});

test('says whether the images of a step are those of the dataset, or assumed', async () => {
  const data = await message();
  const withImages = (images) => ({ ...data, figures: { ...data.figures, images } });
  const shown = await open(withImages({ tokens: 512, from: 'base' }));
  const { page } = shown;
  const hint = page.locator('.costs .images');
  await hint.getByText('With images of up to 512 tokens: the largest that the base').waitFor();
  await post(page, withImages({ tokens: 1960, from: 'dataset' }));
  await hint.getByText('With images of up to 1,960 tokens, the largest of the dataset.').waitFor();
  await post(page, data);
  await hint.waitFor({ state: 'detached' });
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
    const { figures } = await message({}, undefined, available, { machine, training });
    await post(page, { kind: 'figures', figures });
    await page.locator('.step', { hasText: wanted }).waitFor();
    await eventually(async () => {
      const listed = await page.locator('table.types th[scope=row]').allTextContents();
      assert.equal(listed.includes('bfloat16'), machine.hasBf16 !== false);
    });
  }
  const { figures } = await message({}, undefined, there, { training: { method: 'full' } });
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
