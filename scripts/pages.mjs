// npm run pages: the extension's pages in a plain browser, with canned data. Changes of the sources
// reload them. Comparisons come from the command line: npm run build makes it.
import { context, stop } from 'esbuild';
import { createServer, request } from 'node:http';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { cases } from './pageCases.mjs';
import { PAGES, pageBuild } from './pageBundle.mjs';

const root = path.resolve(import.meta.dirname, '..');
const { pageHtml } = await tsImport('../src/host/webview/pageHtml.ts', import.meta.url);
const themes = JSON.parse(
  readFileSync(path.join(root, 'test/workbench/pages/themes.json'), 'utf8'),
);
const port = Number(process.argv[2] ?? 4173);

/** Runs in the page before its own script: VS Code's part, and a host that sends one case. */
function bridge({ variables, bodyClass, onReady }) {
  for (const [name, value] of Object.entries(variables))
    document.documentElement.style.setProperty(name, value);
  document.body.className = bodyClass;
  let state;
  window.acquireVsCodeApi = () => ({
    postMessage: (message) => {
      console.log('to the host:', message);
      if (message.kind === 'ready') onReady();
    },
    getState: () => state,
    setState: (value) => {
      state = value;
    },
  });
}

/** The page of one case, as the extension shows it, content security policy included. */
async function pageFor(url) {
  const [id, name] = [url.searchParams.get('page'), url.searchParams.get('case')];
  const { facts, script } = cases[id][name];
  const html = pageHtml({
    cspSource: url.origin,
    nonce: 'pages',
    script: `/${id}.js`,
    style: `/${id}.css`,
    language: 'en',
    strings: PAGES[id].strings,
    facts,
  });
  const { variables, bodyClass } = themes[url.searchParams.get('theme') ?? 'dark'];
  const setup = `{ ...${JSON.stringify({ variables, bodyClass })}, onReady: () => { ${await script()} } }`;
  return html.replace(
    '<script',
    `<script nonce="pages">(${bridge})(${setup.replaceAll('</script', '<\\/script')})</script>\n  <script`,
  );
}

/** Runs in the frame around the pages: shows the chosen case, and reloads it after each build. */
function shell() {
  const [frame, theme] = [document.querySelector('iframe'), document.querySelector('select')];
  const show = () => {
    const chosen = window.location.hash.slice(1) || document.querySelector('nav a').hash.slice(1);
    frame.src = `/page?${chosen}&theme=${theme.value}`;
  };
  window.addEventListener('hashchange', show);
  theme.addEventListener('change', show);
  new window.EventSource('/esbuild').addEventListener('change', show);
  show();
}

const links = (id) =>
  Object.keys(cases[id])
    .map((name) => `<a href="#page=${id}&case=${encodeURIComponent(name)}">${name}</a>`)
    .join('\n');

const index = `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>LoRA Workbench pages</title>
  <style>
    body { display: flex; margin: 0; height: 100vh; font: 14px system-ui, sans-serif; }
    nav { width: 240px; padding: 12px; overflow: auto; box-sizing: border-box; }
    nav h2 { margin: 14px 0 4px; font-size: 14px; }
    nav a { display: block; padding: 2px 0; }
    iframe { flex: 1; border: 0; border-left: 1px solid #8888; }
  </style>
</head>
<body>
  <nav>
    <label>Theme <select>${Object.keys(themes)
      .map((name) => `<option>${name}</option>`)
      .join('')}</select></label>
    ${Object.entries(PAGES)
      .map(([id, { title }]) => `<h2>${title}</h2>\n${links(id)}`)
      .join('\n')}
  </nav>
  <iframe title="Page"></iframe>
  <script>(${shell})()</script>
</body>
</html>`;

// esbuild's process, while it serves, may outlive this one
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    stop();
    process.exit();
  });

const build = await context({ ...pageBuild, outdir: path.join(root, 'out'), write: false });
await build.watch();
const files = await build.serve({ host: '127.0.0.1' });

/** Scripts, styles and the event stream of builds come from esbuild. */
function forward(incoming, outgoing) {
  // esbuild sends its events only to those who accept an event stream
  const { accept } = incoming.headers;
  const options = {
    host: '127.0.0.1',
    port: files.port,
    path: incoming.url,
    headers: accept === undefined ? {} : { accept },
  };
  const upstream = request(options, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  upstream.on('error', () => outgoing.destroy());
  incoming.on('close', () => upstream.destroy());
  upstream.end();
}

const server = createServer((incoming, outgoing) => {
  const url = new URL(incoming.url, `http://${incoming.headers.host}`);
  const sendHtml = (html) => outgoing.writeHead(200, { 'content-type': 'text/html' }).end(html);
  if (url.pathname === '/') sendHtml(index);
  else if (url.pathname !== '/page') forward(incoming, outgoing);
  else
    pageFor(url).then(sendHtml, (error) => {
      outgoing.writeHead(500, { 'content-type': 'text/plain' }).end(String(error.stack ?? error));
    });
});
server.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
