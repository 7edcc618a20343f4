// The tensor inspector in a real workbench, in an untrusted workspace.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hostileHeader } from '../support/hostileHeader.mjs';
import * as d from './drive.mjs';
import { checkThemes, LIMIT, openFile, packageVsix } from './page.mjs';
import { installWorkbench, makeWorkspace, root } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('the tensor inspector', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let server, browser, page;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    cpSync(
      path.join(root, 'test/fixtures/llama/formats/gguf/adapter.gguf'),
      path.join(workspace, 'adapter.gguf'),
    );
    cpSync(
      path.join(workspace, 'models/tiny/model.safetensors'),
      path.join(workspace, 'cut.safetensors'),
    );
    truncateSync(path.join(workspace, 'cut.safetensors'), 5_000);
    writeFileSync(path.join(workspace, 'hostile.safetensors'), hostileHeader());
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      trusted: false,
    });
    ({ browser, page } = await d.openPage(server));
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it('opens .safetensors and .gguf files, and reads values on demand', async () => {
    for (const [file, tensor] of [
      ['model.safetensors', 'model.norm.weight'],
      ['adapter.gguf', 'blk.1.attn_q.weight.lora_a'],
    ]) {
      await openFile(page, file);
      const frame = d.webview(page);
      await frame.locator('h1', { hasText: file }).waitFor();
      await frame.locator('input[type=search]').fill(tensor);
      await frame.locator('button.link', { hasText: tensor }).click();
      await frame.locator('.histogram').waitFor();
      assert.match(await frame.locator('.values').innerText(), /Norm \(Frobenius\)\s+[\d.]+/);
      await checkThemes(server, page, `inspector-${path.extname(file).slice(1)}`, frame);
    }
  });

  it('reports that a truncated file is damaged', async () => {
    await openFile(page, 'cut.safetensors');
    await d
      .webview(page)
      .getByText(/cut\.safetensors/)
      .first()
      .waitFor();
    assert.match(
      await d.webview(page).locator('.failed').innerText(),
      /The file cannot be read[^]*damaged/,
    );
  });

  it('outlives a file that takes all memory, and opens the next one', async () => {
    const extensionHost = () => /host with pid (\d+) started/.exec(d.hostLog(server))?.[1];
    const before = extensionHost();
    assert.ok(before !== undefined);
    await openFile(page, 'hostile.safetensors');
    const failed = d.webview(page).locator('.failed');
    await failed.waitFor();
    assert.match(await failed.innerText(), /hostile\.safetensors: .* takes too much memory/);
    await openFile(page, 'adapter.gguf');
    await d.webview(page).locator('h1', { hasText: 'adapter.gguf' }).waitFor();
    assert.equal(extensionHost(), before);
  });
});
