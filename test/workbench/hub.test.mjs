// Downloading a base model in a real workbench: from the command palette to the files on disk, with
// a token if one is needed.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { startHub } from '../support/hub.mjs';
import * as d from './drive.mjs';
import { inputFocused, LIMIT, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('a base model from the Hub', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const tiny = path.join(workspace, 'models/tiny');
  const files = Object.fromEntries(
    ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((name) => [
      name,
      readFileSync(path.join(tiny, name)),
    ]),
  );
  let hub, server, browser, page;
  const title = (text) => page.locator('.quick-input-title', { hasText: text });

  before(async () => {
    mkdirSync(shots, { recursive: true });
    rmSync(tiny, { recursive: true });
    hub = await startHub({ files, token: 'hf_secret' });
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder() },
      env: { HF_ENDPOINT: hub.endpoint, HF_TOKEN: '' },
    });
    ({ browser, page } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await hub?.close();
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-hub-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('asks for name, folder and token, and downloads the model', async () => {
    await d.runCommand(page, 'LoRA: Download Base Model');
    await title('Download Base Model').waitFor();
    await inputFocused(page);
    await page.keyboard.type('owner/tiny');
    await page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: 'owner/tiny' })
      .waitFor();
    await d.screenshot(page, path.join(shots, 'hub.png'));
    await page.keyboard.press('Enter');
    await title('Folder').waitFor();
    await page.keyboard.press('Enter');
    await title('Hugging Face Token').waitFor();
    await page.locator('.quick-input-widget input[type=password]:focus').waitFor();
    await page.keyboard.type('hf_secret');
    await page.keyboard.press('Enter');
    await until(() => {
      try {
        return readdirSync(tiny).sort().join() === Object.keys(files).sort().join();
      } catch {
        return false;
      }
    }, 'the model');
    for (const [name, bytes] of Object.entries(files))
      assert.ok(readFileSync(path.join(tiny, name)).equals(bytes), name);
  });

  it('reports a model that does not exist, and writes nothing', async () => {
    await d.runCommand(page, 'LoRA: Download Base Model');
    await title('Download Base Model').waitFor();
    await inputFocused(page);
    await page.keyboard.type('owner/nothing');
    await page
      .locator('.quick-input-list .monaco-list-row.focused', { hasText: 'owner/nothing' })
      .waitFor();
    await page.keyboard.press('Enter');
    await title('Folder').waitFor();
    await page.keyboard.press('Enter');
    const [notification] = await d.notifications(page, /The Hub has no model/);
    assert.match(notification.text, /The Hub has no model owner\/nothing/);
    assert.deepEqual(readdirSync(path.join(workspace, 'models')), ['tiny']);
  });
});
