// A page of the extension in a browser, as VS Code would show it: the host's own html with its
// policy, VS Code's theme, and a stand-in for its messages.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { PAGES, pageBuild } from '../../../scripts/pageBundle.mjs';
import { launchBrowser } from '../../support/browser.mjs';
import { RUN_SCRIPT } from './sendRun.mjs';

const here = import.meta.dirname;
const { pageHtml } = await tsImport('../../../src/host/webview/pageHtml.ts', import.meta.url);
const themes = JSON.parse(readFileSync(path.join(here, 'themes.json'), 'utf8'));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const types = { '.js': 'text/javascript', '.css': 'text/css', '.ttf': 'font/ttf' };

/** Longest wait of an action on a page: only a failure takes that long. */
export const WAIT_MS = 120_000;

/** Runs in the page before its own script: VS Code's side of the bridge. */
function bridge({ variables, bodyClass, state }) {
  for (const [name, value] of Object.entries(variables))
    document.documentElement.style.setProperty(name, value);
  document.body.className = bodyClass;
  window.sent = [];
  window.kept = state;
  window.policyReports = [];
  document.addEventListener('securitypolicyviolation', (event) =>
    window.policyReports.push(`${event.violatedDirective} ${event.blockedURI}`),
  );
  window.acquireVsCodeApi = () => ({
    postMessage: (message) => window.sent.push(message),
    getState: () => window.kept,
    setState: (value) => {
      window.kept = value;
    },
  });
}

/** The files that pages load, by their path. */
async function bundle() {
  const { outputFiles } = await build({ ...pageBuild, outdir: 'out', write: false, minify: true });
  return new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
}

/** The host's own html of a page, with the theme and kept state that the address asks for. */
function htmlFor(name, facts, url) {
  const { theme, motion, state } = JSON.parse(url.searchParams.get('options'));
  const { variables, bodyClass } = themes[theme];
  const setup = JSON.stringify({
    variables,
    bodyClass: motion ? bodyClass : `${bodyClass} vscode-reduce-motion`,
    state,
  });
  const html = pageHtml({
    cspSource: url.origin,
    nonce: 'test',
    script: `/${name}.js`,
    style: `/${name}.css`,
    language: 'en',
    strings: PAGES[name].strings,
    facts,
    images: PAGES[name].images,
  });
  return html.replace('<script', `<script nonce="test">(${bridge})(${setup})</script>\n  <script`);
}

/**
 * Bundles a page and starts a browser. `open` shows the page in a theme; `close` ends both.
 * `facts`: what the host puts into the page.
 */
export async function startPages(name, facts) {
  const files = await bundle();
  const browser = await launchBrowser();
  const server = createServer((request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`);
    const file = files.get(url.pathname);
    if (url.pathname !== '/' && !file) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('content-type', types[path.extname(url.pathname)] ?? 'text/html');
    response.end(file ?? htmlFor(name, facts, url));
  });
  await new Promise((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    async open({ theme = 'dark', width = 1300, height = 1000, motion = false, state } = {}) {
      const context = await browser.newContext({ viewport: { width, height } });
      context.setDefaultTimeout(WAIT_MS);
      await context.addInitScript({ content: RUN_SCRIPT });
      const page = await context.newPage();
      const errors = [];
      page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
      await page.goto(
        `http://127.0.0.1:${server.address().port}/?options=${encodeURIComponent(JSON.stringify({ theme, motion, state }))}`,
      );
      await page.waitForFunction(() => window.sent?.some((message) => message.kind === 'ready'));
      return { page, errors, close: () => context.close() };
    },
    /** The theme's class and variables on an open page, as VS Code changes them. */
    setTheme: (page, theme) =>
      page.evaluate(({ variables, bodyClass }) => {
        for (const [name, value] of Object.entries(variables))
          document.documentElement.style.setProperty(name, value);
        document.body.className = bodyClass;
      }, themes[theme]),
    async close() {
      await browser.close();
      server.close();
    },
  };
}

export const THEMES = Object.keys(themes);

/**
 * Nothing in the console, no report of the content policy, nothing that the page tells its host of.
 */
export async function assertQuiet({ page, errors }) {
  assert.deepEqual(errors, []);
  assert.deepEqual(await page.evaluate(() => window.policyReports), []);
  assert.deepEqual(
    await page.evaluate(() => window.sent.filter((message) => message.kind === 'trouble')),
    [],
  );
}

/** axe has no serious finding in the page as it is. */
export async function assertAccessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(
    grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`),
    [],
  );
}

/** Kept to be looked at, where LORA_SCREENSHOTS names a folder. */
export async function screenshot(page, name) {
  if (process.env.LORA_SCREENSHOTS)
    await page.screenshot({ path: path.join(process.env.LORA_SCREENSHOTS, name) });
}

/** Looks again until a check holds: a page answers a click a moment later. */
export async function eventually(check) {
  for (const end = Date.now() + WAIT_MS; ;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** What the page has told its host of one kind, once it has told anything. */
export const sent = (page, kind) =>
  eventually(async () => {
    const messages = await page.evaluate(
      (name) => window.sent.filter((own) => own.kind === name),
      kind,
    );
    assert.ok(messages.length > 0, `nothing of ${kind} was sent`);
    return messages;
  });
