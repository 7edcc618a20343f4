// A page of the extension in a browser, as VS Code would show it: the host's own html with its
// policy, VS Code's theme, and a stand-in for its messages.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium } from 'playwright-core';

const here = import.meta.dirname;
const root = path.resolve(here, '../../..');
const themes = JSON.parse(readFileSync(path.join(here, 'themes.json'), 'utf8'));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const types = { '.js': 'text/javascript', '.css': 'text/css', '.ttf': 'font/ttf' };

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

async function bundle() {
  const page = {
    entryPoints: {
      dashboard: 'webview/dashboard/main.ts',
      overlay: 'webview/overlay/main.ts',
      playground: 'webview/playground/main.ts',
      compare: 'webview/compare/main.ts',
      configure: 'webview/configure/main.ts',
      inspect: 'webview/inspect/main.ts',
    },
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    loader: { '.ttf': 'file' },
    assetNames: '[name]',
    minify: true,
  };
  const host = {
    stdin: {
      contents:
        'export { pageHtml } from "./src/host/webview/pageHtml"; export { DASHBOARD_STRINGS as dashboard } from "./src/shared/pages/dashboard/strings"; export { OVERLAY_STRINGS as overlay } from "./src/shared/pages/overlay/strings"; export { PLAYGROUND_STRINGS as playground } from "./src/shared/pages/playground/strings"; export { COMPARE_STRINGS as compare } from "./src/shared/pages/compare/strings"; export { CONFIGURE_STRINGS as configure } from "./src/shared/pages/configure/strings"; export { INSPECT_STRINGS as inspect } from "./src/shared/pages/inspect/strings";',
      resolveDir: root,
    },
    platform: 'node',
    format: 'cjs',
  };
  const options = {
    bundle: true,
    write: false,
    absWorkingDir: root,
    outdir: 'out',
    logLevel: 'warning',
  };
  const [built, html] = await Promise.all([
    build({ ...options, ...page }),
    build({ ...options, ...host }),
  ]);
  const module = { exports: {} };
  new Function('module', 'exports', 'require', html.outputFiles[0].text)(
    module,
    module.exports,
    createRequire(import.meta.url),
  );
  return {
    files: new Map(
      built.outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]),
    ),
    ...module.exports,
  };
}

function findBrowser() {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];
  const found = (process.env.PATH ?? '')
    .split(path.delimiter)
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .find((file) => existsSync(file));
  if (!found) throw new Error('The page needs a Chromium or Chrome on the PATH.');
  return found;
}

/**
 * Bundles a page and starts a browser. `open` shows the page in a theme; `close` ends both.
 * `facts`: what the host puts into the page.
 */
export async function startPages(name, facts) {
  const browser = await chromium.launch({
    executablePath: findBrowser(),
    args: ['--no-sandbox', '--disable-gpu'],
  });
  const { files, pageHtml, [name]: strings } = await bundle();
  const server = createServer((request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`);
    const file = files.get(url.pathname);
    if (url.pathname !== '/' && !file) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('content-type', types[path.extname(url.pathname)] ?? 'text/html');
    response.end(file ?? pageWith(url));
  });
  const pageWith = (url) => {
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
      strings,
      facts,
    });
    return html.replace(
      '<script',
      `<script nonce="test">(${bridge})(${setup})</script>\n  <script`,
    );
  };
  await new Promise((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    async open({ theme = 'dark', width = 1300, height = 1000, motion = false, state } = {}) {
      const context = await browser.newContext({ viewport: { width, height } });
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
export async function eventually(check, seconds = 5) {
  for (const end = Date.now() + seconds * 1000; ;) {
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
