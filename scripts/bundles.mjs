// The bundles in dist/: the extension, the engine with its worker, the process that
// inspects files, tfjs, and the pages.
import { build, context } from 'esbuild';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import ts from 'typescript';
import { pageBuild } from './pageBundle.mjs';
import { loadedTfjs, tfjsNode, TFJS_LAYERS, TFJS_WASM } from './tfjsBundles.mjs';

const root = path.resolve(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
/** General text and chat, by which a training run measures what a model has forgotten. */
const generalRows = path.join(root, 'engine', 'general.jsonl');
/** Programs in Python that run on the nodes of a Ray cluster. */
const clusterPrograms = path.join(root, 'engine', 'ray');
const wasmRoot = path.join(root, 'node_modules', '@tensorflow', 'tfjs-backend-wasm');
const wasmPackage = path.join(wasmRoot, 'dist');
/** The threads' script and what it loads; src/runtime/wasmThreads.ts names them to tfjs. */
const THREADED = 'tfjs-backend-wasm-threaded-simd';

/** Node has had SIMD since version 16.4: the build of WebAssembly without it is left out. */
const isWasmOfNode = (name) => name.endsWith('simd.wasm');

/** What all bundles for Node have in common. */
const nodeBuild = {
  bundle: true,
  // jsonc-parser's main is UMD, whose require calls cannot be bundled
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  keepNames: true,
  absWorkingDir: root,
  logLevel: 'warning',
};

/** The source maps of a release are for `npm run stack` and are not packaged. */
const RELEASE = { minify: true, sourcemap: 'external', sourcesContent: false };
/** For the debugger: readable, with a link to the map. */
const DEVELOPMENT = { minify: false, sourcemap: 'linked', sourcesContent: false };

/**
 * Libraries that the extension does not need at startup have bundles of their own: reading and
 * compiling them would double its startup time.
 */
const LATER = { re2js: 're2js', yauzl: 'yauzl', 'vscode-jsonrpc/node': 'jsonrpc' };
const loadLater = {
  name: 'load-later',
  setup: ({ onResolve }) =>
    onResolve({ filter: new RegExp(`^(${Object.keys(LATER).join('|')})$`) }, ({ path: name }) => ({
      path: `./lib/${LATER[name]}.js`,
      external: true,
    })),
};

/** The parts of the SDK of the Model Context Protocol, which `lora mcp` alone uses. */
const MCP = ['server/index.js', 'server/stdio.js', 'types.js'];
const MCP_SDK = '@modelcontextprotocol/sdk';
const loadMcpLater = {
  name: 'load-mcp-later',
  setup: ({ onResolve }) =>
    onResolve({ filter: new RegExp(`^${MCP_SDK}/`) }, () => ({
      path: './lib/mcp.js',
      external: true,
    })),
};
/** We send no forms to clients. The library that checks them would double the bundle. */
const withoutForms = {
  name: 'without-forms',
  setup: ({ onLoad }) =>
    onLoad({ filter: /ajv-provider\.js$/ }, () => ({
      contents: 'export class AjvJsonSchemaValidator {}',
    })),
};

/** lora-workbench/tfjs, for Node and browsers: tfjs is its user's own. */
const library = {
  bundle: true,
  entryPoints: ['src/tfjs/index.ts'],
  external: ['@tensorflow/tfjs'],
  platform: 'neutral',
  target: 'es2022',
  absWorkingDir: root,
  logLevel: 'warning',
};

const libraries = (outdir) =>
  [
    { format: 'esm', name: 'index.mjs' },
    { format: 'cjs', name: 'index.cjs' },
  ].map(({ format, name }) => ({ ...library, format, outfile: path.join(outdir, 'tfjs', name) }));

/** Its types, which name none but those of tfjs. */
function writeLibraryTypes(outdir) {
  const file = path.join(root, 'src', 'tfjs', 'index.ts');
  const { outputText, diagnostics } = ts.transpileDeclaration(readFileSync(file, 'utf8'), {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: { isolatedDeclarations: true, target: ts.ScriptTarget.ES2022 },
  });
  if (diagnostics?.length) throw new Error(ts.formatDiagnostics(diagnostics, FORMAT));
  writeFileSync(path.join(outdir, 'tfjs', 'index.d.ts'), outputText);
}
const FORMAT = {
  getCanonicalFileName: (name) => name,
  getCurrentDirectory: () => root,
  getNewLine: () => '\n',
};

const bundles = (outdir) => [
  {
    ...nodeBuild,
    outdir,
    entryPoints: { extension: 'src/extension.ts' },
    external: ['vscode'],
    plugins: [loadLater],
    supported: { 'dynamic-import': false },
  },
  {
    ...nodeBuild,
    outdir: path.join(outdir, 'lib'),
    entryPoints: Object.fromEntries(Object.entries(LATER).map(([name, file]) => [file, name])),
  },
  {
    ...nodeBuild,
    outfile: path.join(outdir, 'lib/mcp.js'),
    stdin: {
      contents: MCP.map((name) => `export * from '${MCP_SDK}/${name}';`).join('\n'),
      resolveDir: root,
    },
    plugins: [withoutForms],
  },
  {
    ...nodeBuild,
    outdir,
    entryPoints: {
      cli: 'src/engine/cli.ts',
      worker: 'src/engine/training/worker.ts',
      probe: 'src/runtime/probeMain.ts',
      inspect: 'src/inspect/main.ts',
      agent: 'src/targets/agent/main.ts',
      storage: 'src/targets/s3/main.ts',
    },
    define: { LORA_VERSION: JSON.stringify(version) },
    plugins: [loadMcpLater],
  },
  {
    ...nodeBuild,
    outdir,
    entryPoints: { 'tfjs-node': 'lora:tfjs-node' },
    plugins: [tfjsNode],
    logOverride: { 'direct-eval': 'silent' },
  },
  {
    ...nodeBuild,
    outfile: path.join(outdir, 'tfjs-wasm.js'),
    stdin: { contents: TFJS_WASM, resolveDir: root },
  },
  {
    ...nodeBuild,
    outfile: path.join(outdir, 'tfjs-layers.js'),
    stdin: { contents: TFJS_LAYERS, resolveDir: root },
    plugins: [loadedTfjs],
  },
  ...libraries(outdir),
  { ...pageBuild, outdir: path.join(outdir, 'webview') },
];

/** What is no JavaScript of ours: WebAssembly, programs for clusters, and rows of text. */
function copyOthers(outdir) {
  mkdirSync(path.join(outdir, 'ray'), { recursive: true });
  mkdirSync(path.join(outdir, 'tfjs'), { recursive: true });
  writeLibraryTypes(outdir);
  for (const name of readdirSync(clusterPrograms).filter((file) => /\.(py|txt)$/.test(file)))
    copyFileSync(path.join(clusterPrograms, name), path.join(outdir, 'ray', name));
  for (const name of readdirSync(wasmPackage).filter(isWasmOfNode))
    copyFileSync(path.join(wasmPackage, name), path.join(outdir, name));
  copyFileSync(generalRows, path.join(outdir, path.basename(generalRows)));
  const threaded = path.join(wasmRoot, 'wasm-out', THREADED);
  copyFileSync(`${threaded}.js`, path.join(outdir, `${THREADED}.js`));
  // a template whose escapes were resolved once too often, as tfjs knows
  const { wasmWorkerContents } = createRequire(import.meta.url)(`${threaded}.worker.js`);
  const script = wasmWorkerContents.replaceAll('\n', '\\n');
  writeFileSync(path.join(outdir, `${THREADED}.worker.js`), script);
}

/** Removes the chunks of earlier builds: their names depend on the contents. */
function removeOldChunks(folder, metafiles) {
  const outputs = metafiles.flatMap((metafile) => Object.keys(metafile.outputs));
  const written = new Set(outputs.map((file) => path.basename(file)));
  for (const name of readdirSync(folder))
    if (/^chunk-\w+\.js(\.map)?$/.test(name) && !written.has(name)) rmSync(path.join(folder, name));
}

/** Writes all bundles into a folder: minified, or for the debugger. Gives esbuild's metafiles. */
export async function writeBundles(outdir, { development = false } = {}) {
  copyOthers(outdir);
  const mode = development ? DEVELOPMENT : RELEASE;
  const results = await Promise.all(
    bundles(outdir).map((bundle) => build({ ...bundle, ...mode, metafile: true })),
  );
  const metafiles = results.map(({ metafile }) => metafile);
  removeOldChunks(path.join(outdir, 'webview'), metafiles);
  return metafiles;
}

/** Writes all bundles for the debugger, and writes them again when a source changes. */
export async function watchBundles(outdir) {
  copyOthers(outdir);
  const contexts = await Promise.all(
    bundles(outdir).map((bundle) => context({ ...bundle, ...DEVELOPMENT, logLevel: 'info' })),
  );
  await Promise.all(contexts.map((each) => each.rebuild().catch(() => undefined)));
  await Promise.all(contexts.map((each) => each.watch()));
}
