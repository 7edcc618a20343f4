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
import { READY, state, tell } from './playgrounds.mjs';

let pages;
before(async () => {
  pages = await startPages('playground', { base: '/models/tiny' });
});
after(() => pages?.close());

const READING = { ...READY, reads_images: true };
const { thumbnailOf } = await tsImport('../../../src/data/images/thumbnail.ts', import.meta.url);
const THUMBNAIL = await thumbnailOf(
  path.join(import.meta.dirname, '../../fixtures/qwen3-vl-images/chats/wide.png'),
);
const URL = THUMBNAIL.url;
const PNG = URL.slice(URL.indexOf(',') + 1);
const WIDE = '/photos/a wide one.png';
const CUT = '/photos/cut.png';

async function open(options) {
  const shown = await pages.open(options);
  await tell(shown.page, state(READING));
  await shown.page.getByText('Ready, on libtensorflow on CPU').waitFor();
  return shown;
}

/** Attaches two images, of which one cannot be read, as the host answers. */
async function attachTwo(page) {
  await page.getByRole('button', { name: 'Attach Images…' }).click();
  await sent(page, 'chooseImages');
  await tell(page, { kind: 'attached', images: [WIDE, CUT] });
  const [{ images }] = await sent(page, 'thumbnails');
  assert.deepEqual(images, [WIDE, CUT]);
  const thumbnail = { ...THUMBNAIL, width: 1640 };
  await tell(page, { kind: 'thumbnail', image: WIDE, thumbnail });
  const fault = 'The image cannot be read: the file is cut short.';
  await tell(page, { kind: 'thumbnail', image: CUT, thumbnail: { fault } });
  await page.getByText('the file is cut short').waitFor();
}

for (const theme of THEMES) {
  test(`${theme}: shows attached images without errors or serious axe findings`, async () => {
    const shown = await open({ theme });
    const { page } = shown;
    await page.locator('#prompt').fill('What is broken here?');
    await attachTwo(page);
    await page.getByText('1,640 × ').waitFor();
    await eventually(async () =>
      assert.equal(
        await page.getByRole('img', { name: 'a wide one.png' }).evaluate((img) => img.naturalWidth),
        THUMBNAIL.width,
      ),
    );
    await page.mouse.move(0, 0);
    await screenshot(page, `playground-images-${theme}.png`);
    await assertAccessible(page);
    await assertQuiet(shown);
    await shown.close();
  });
}

test('sends the images with the prompt, without those that were removed by the keyboard', async () => {
  const shown = await open();
  const { page } = shown;
  await attachTwo(page);
  await page.getByRole('button', { name: 'Remove the image cut.png' }).focus();
  await page.keyboard.press('Enter');
  await eventually(async () => assert.equal(await page.locator('.image').count(), 1));
  await eventually(async () =>
    assert.equal(
      await page.evaluate(() => document.activeElement?.textContent?.trim()),
      'Attach Images…',
    ),
  );
  await page.locator('#prompt').fill('What is it?');
  await page.locator('#prompt').press('Control+Enter');
  const [{ settings }] = await sent(page, 'ask');
  assert.deepEqual(settings.images, [WIDE]);
  await assertQuiet(shown);
  await shown.close();
});

test('takes images of the clipboard and of other programs, and files of the Explorer', async () => {
  const shown = await open();
  const { page } = shown;
  const give = (event, files, uris = '') =>
    page.evaluate(
      ([kind, names, list, base64]) => {
        const bytes = Uint8Array.from(window.atob(base64), (char) => char.charCodeAt(0));
        const data = new window.DataTransfer();
        for (const [name, type] of names) data.items.add(new window.File([bytes], name, { type }));
        if (list !== '') data.setData('text/uri-list', list);
        const target = document.querySelector('#prompt');
        const init = { bubbles: true, cancelable: true };
        const made =
          kind === 'paste'
            ? new window.ClipboardEvent('paste', { ...init, clipboardData: data })
            : new window.DragEvent(kind, { ...init, dataTransfer: data });
        target.dispatchEvent(made);
        return made.defaultPrevented;
      },
      [event, files, uris, PNG],
    );
  assert.equal(await give('paste', [['a.png', 'image/png']]), true);
  assert.equal((await sent(page, 'pasteImage'))[0].data, URL);
  assert.equal(await give('paste', [['notes.txt', 'text/plain']]), false);
  assert.equal(await give('drop', [['b.webp', 'image/webp']]), true);
  await page.getByText('b.webp is not a PNG or JPEG image.').waitFor();
  assert.equal(await give('dragover', [], 'file:///photos/a.png'), true);
  assert.equal(await give('drop', [], 'file:///photos/a.png\r\nfile:///photos/b.jpg'), true);
  assert.deepEqual((await sent(page, 'dropImages'))[0].uris, [
    'file:///photos/a.png',
    'file:///photos/b.jpg',
  ]);
  const remote = 'vscode-remote://wsl%2Bubuntu/photos/c.png';
  assert.equal(await give('drop', [], remote), true);
  assert.deepEqual((await sent(page, 'dropImages'))[1].uris, [remote]);
  await shown.close();
});

test('keeps the images through reloads, and asks for their thumbnails again', async () => {
  const shown = await open();
  const { page } = shown;
  await attachTwo(page);
  await page.waitForFunction(() => window.kept.settings.images.length === 2);
  const kept = await page.evaluate(() => window.kept);
  await shown.close();
  const again = await open({ state: kept });
  const [{ images }] = await sent(again.page, 'thumbnails');
  assert.deepEqual(images, [WIDE, CUT]);
  await again.page.getByText('a wide one.png').waitFor();
  await again.close();
});

test('says that images need a chat, and that some bases read none', async () => {
  const shown = await open();
  const { page } = shown;
  await page.locator('#prompt').fill('What is it?');
  await attachTwo(page);
  await page.locator('#chat').uncheck();
  await page.getByText('Images can only be in chat messages.').waitFor();
  assert.equal(await page.locator('#ask').getAttribute('disabled'), '');
  await shown.close();
  const other = await pages.open();
  await tell(other.page, state(READY));
  await other.page.getByText('Ready, on libtensorflow on CPU').waitFor();
  assert.equal(await other.page.getByRole('button', { name: 'Attach Images…' }).count(), 0);
  await other.close();
});

test('shows the images of a row, and asks with them', async () => {
  const shown = await pages.open();
  const { page } = shown;
  await tell(page, { ...state(READING), rows: true });
  await sent(page, 'row');
  const row = {
    index: 0,
    count: 1,
    line: 1,
    system: '',
    before: [],
    prompt: 'What is it?',
    expected: 'A wide one.',
    images: [WIDE],
    changed: false,
  };
  await tell(page, { kind: 'row', row });
  await page.getByText('a wide one.png').waitFor();
  await page.locator('.expected').waitFor();
  await page.getByRole('button', { name: 'Remove the image a wide one.png' }).click();
  await eventually(async () => assert.equal(await page.locator('.expected').count(), 0));
  await shown.close();
});
