// Without a runtime: the extension asks before it downloads one, and trains once it is installed.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as d from './drive.mjs';
import { LIMIT, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runsOf } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('without a runtime', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let server, browser, page;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    writeFileSync(
      path.join(workspace, 'lora.json'),
      JSON.stringify(
        {
          base: 'models/tiny',
          dataset: 'data/train.jsonl',
          lora: { r: 1 },
          training: { max_steps: 3 },
        },
        null,
        2,
      ),
    );
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      env: { LORA_RUNTIME_HOME: mkdtempSync(path.join(tmpdir(), 'lora-runtime-')) },
    });
    ({ browser, page } = await d.openPage(server));
    await d.openView(page, 'LoRA');
    await d.treeRow(page, 'Runs', 'Train Adapter…').waitFor();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it('asks before it installs a runtime, and does nothing when the user cancels', async () => {
    await d.runCommand(page, 'LoRA: Run Recipe');
    const [question] = await d.notifications(page, /libtensorflow/);
    assert.match(question.text, /230 MB|220 MiB|219\.\d MiB/);
    assert.deepEqual(question.buttons, ['Install', 'Cancel']);
    await d.screenshot(page, path.join(shots, 'install-runtime.png'));
    await page.locator('.notification-list-item').getByRole('button', { name: 'Cancel' }).click();
    assert.deepEqual(runsOf(workspace), []);
  });

  it('shows what a run waits for after the question was closed', async () => {
    await d.runCommand(page, 'LoRA: Run Recipe');
    await d.notifications(page, /libtensorflow/);
    await d.runCommand(page, 'Notifications: Clear All Notifications');
    const body = d.webview(page).locator('body');
    await body.getByText('Waiting for the runtime').waitFor();
    await d.screenshot(page, path.join(shots, 'dashboard-waiting-for-runtime.png'));
    await body.getByRole('button', { name: 'More Options…' }).click();
    await d.notifications(page, /libtensorflow/);
    await d.runCommand(page, 'Notifications: Clear All Notifications');
    await d.openView(page, 'LoRA');
    const row = d.treeRow(page, 'Runs', 'Waiting for the runtime');
    await row.click();
    await d.notifications(page, /libtensorflow/);
    await d.screenshot(page, path.join(shots, 'waiting-for-runtime.png'));
    await page.locator('.notification-list-item').getByRole('button', { name: 'Cancel' }).click();
    await row.waitFor({ state: 'hidden' });
    await page.locator('iframe.webview').first().waitFor({ state: 'detached' });
    assert.deepEqual(runsOf(workspace), []);
  });

  it('asks in the first step of Train Adapter, and goes on without it', async () => {
    await d.runCommand(page, 'LoRA: Train Adapter');
    const title = page.locator('.quick-input-title');
    await title.filter({ hasText: 'Train Adapter: Runtime' }).waitFor();
    assert.match((await d.quickPickItems(page)).join(), /Install,.*Not Now$/);
    await d.screenshot(page, path.join(shots, 'train-runtime.png'));
    await d.pickItem(page, 'Not Now');
    await title.filter({ hasText: 'Train Adapter: Base Model' }).waitFor();
    await page.keyboard.press('Escape');
    await title.waitFor({ state: 'hidden' });
  });

  it('installs it through pip with progress, then trains', async () => {
    await d.runCommand(page, 'LoRA: Run Recipe');
    await d.notifications(page, /libtensorflow/);
    await d.runCommand(page, 'Notifications: Clear All Notifications');
    const body = d.webview(page).locator('body');
    await body.getByRole('button', { name: 'Install' }).click();
    await d.notifications(page, /Installing libtensorflow/);
    await body.getByText('The training starts when the runtime is installed.').waitFor();
    await until(
      () => runsOf(workspace).at(-1)?.record?.state === 'completed',
      'the end of the run',
      1_200,
    );
  });

  it('shows which runtime is used, and why', async () => {
    await d.runCommand(page, 'LoRA: Show Runtime');
    const shown = await d.notifications(page, /2\.18\.1/);
    assert.ok(
      shown.some(({ text }) =>
        /libtensorflow 2\.18\.1 on the [CG]PU.*installed through pip/.test(text),
      ),
      JSON.stringify(shown),
    );
    await d.screenshot(page, path.join(shots, 'show-runtime.png'));
  });
});
