// node --test test/workbench/pages
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { launchBrowser } from '../../support/browser.mjs';
import { root } from '../../support/root.mjs';
import { WAIT_MS } from './openPage.mjs';

/** What `npm run pages` reads; the sources are copied, as a test changes one of them. */
const COPIED = ['package.json', 'tsconfig.json', 'scripts', 'src', 'webview'];
const LINKED = ['node_modules', 'test'];

/** Stands in for the command line: its comparison is never ready; it ends with the server. */
const SLOW_CLI = 'process.stdin.resume();';

let copy, server, address, browser;
before(async () => {
  copy = mkdtempSync(path.join(tmpdir(), 'lora-pages-'));
  for (const name of COPIED)
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  for (const name of LINKED) symlinkSync(path.join(root, name), path.join(copy, name), 'junction');
  mkdirSync(path.join(copy, 'dist'));
  writeFileSync(path.join(copy, 'dist', 'cli.js'), SLOW_CLI);
  server = spawn(process.execPath, [path.join(copy, 'scripts', 'pages.mjs'), '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  server.stderr.pipe(process.stderr);
  [address] = await once(createInterface(server.stdout), 'line');
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  // 'close' comes after esbuild, which shares the server's stderr, has ended too
  if (server?.kill()) await once(server, 'close');
  if (copy) rmSync(copy, { recursive: true, force: true });
});

/**
 * The list of pages with one of them, once it follows the builds; `errors` collects what the
 * browser reports.
 */
async function open(hash) {
  const page = await browser.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  const builds = page.waitForResponse((response) => response.url() === `${address}esbuild`);
  await page.goto(address + hash);
  await builds;
  return { page, frame: page.frameLocator('iframe'), errors };
}

test('shows a page and reloads it after its style sheet has changed', async () => {
  const { page, frame, errors } = await open('#page=dashboard&case=finished');
  await frame.getByText('Step 300 of 300').waitFor();
  appendFileSync(
    path.join(copy, 'webview', 'shared', 'base.css'),
    '\nmain { outline: 1px solid rgb(1, 2, 3); }\n',
  );
  await page.waitForFunction(() => {
    const main = document.querySelector('iframe').contentDocument?.querySelector('main');
    return main && getComputedStyle(main).outlineColor === 'rgb(1, 2, 3)';
  });
  await frame.getByText('Step 300 of 300').waitFor();
  assert.deepEqual(errors, []);
  await page.close();
});

test('shows the page for rank and targets with the host’s own numbers', async () => {
  const { page, frame, errors } = await open('#page=configure&case=sizes');
  await frame.locator('.sizes tbody tr', { hasText: 'Qwen2.5-14B' }).waitFor();
  assert.deepEqual(errors, []);
  await page.close();
});

test('serves other pages while a comparison is computed', async () => {
  const leave = new AbortController();
  const comparison = fetch(`${address}page?page=compare&case=two adapters`, {
    signal: leave.signal,
  });
  const { page, frame, errors } = await open('#page=inspect&case=failed');
  await frame.getByText('x.safetensors: damaged').waitFor();
  assert.deepEqual(errors, []);
  leave.abort();
  await assert.rejects(comparison, { name: 'AbortError' });
  await page.close();
});
