// npm run build: bundles the extension, the engine and the pages into dist/, compiles the native
// binding, installs the runtime.
// --bundles: only the bundles.
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { pageBuild } from './pageBundle.mjs';
import { writeModelDocs, writeRecipeDocs, writeSchema } from './schema.mjs';

const root = path.resolve(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const dist = path.join(root, 'dist');
const modules = path.join(root, 'node_modules');
/** jsonc-parser's main is UMD, whose require calls cannot be bundled. */
const alias = { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' };
const node = {
  bundle: true,
  alias,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  minify: true,
  keepNames: true,
  absWorkingDir: root,
  logLevel: 'warning',
};
/**
 * tfjs-node finds its addon through node-pre-gyp; here the runtime says where it is. Of the tfjs
 * that it stands on, ops and the cpu backend are enough: to compile Keras-like layers, converters
 * and WebGL would take a tenth of a second at each start. util.isNullOrUndefined is gone since Node
 * 23.
 */
const tfjsNode = {
  name: 'tfjs-node',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@mapbox\/node-pre-gyp$/ }, () => ({
      path: 'binding',
      namespace: 'lora',
    }));
    onResolve({ filter: /^lora:tfjs-node$/ }, () => ({ path: 'tfjs-node', namespace: 'lora' }));
    onResolve({ filter: /^@tensorflow\/tfjs$/ }, () => ({ path: 'tfjs', namespace: 'lora' }));
    onLoad({ filter: /^binding$/, namespace: 'lora' }, () => ({
      contents: 'exports.find = () => process.env.LORA_TFJS_BINDING;',
    }));
    onLoad({ filter: /^tfjs$/, namespace: 'lora' }, () => ({
      contents:
        'const core = require("@tensorflow/tfjs-core"); require("@tensorflow/tfjs-backend-cpu");\n' +
        'module.exports = { ...core, version: { "tfjs-core": core.version_core }, CustomCallback: class {}, registerCallbackConstructor() {} };',
      resolveDir: root,
    }));
    onLoad({ filter: /^tfjs-node$/, namespace: 'lora' }, () => ({
      contents:
        'const util = require("util"); util.isNullOrUndefined ??= (x) => x === null || x === undefined; util.isArray ??= Array.isArray;\n' +
        'module.exports = require("@tensorflow/tfjs-node");',
      resolveDir: root,
    }));
  },
};

/**
 * Libraries that the extension needs only later lie in files of their own: to read and compile them
 * would double its start.
 */
const later = { re2js: 're2js', tar: 'tar', yauzl: 'yauzl', 'vscode-jsonrpc/node': 'jsonrpc' };
const loadLater = {
  name: 'load-later',
  setup: ({ onResolve }) =>
    onResolve({ filter: new RegExp(`^(${Object.keys(later).join('|')})$`) }, ({ path: name }) => ({
      path: `./lib/${later[name]}.js`,
      external: true,
    })),
};

const wasmPackage = path.join(modules, '@tensorflow', 'tfjs-backend-wasm', 'dist');
const tfjsWasm =
  'const tf = require("@tensorflow/tfjs"); const wasm = require("@tensorflow/tfjs-backend-wasm"); module.exports = Object.assign({}, tf, { setWasmPaths: wasm.setWasmPaths });';

async function bundle() {
  const outdir = 'dist';
  await Promise.all([
    build({
      ...node,
      outdir,
      entryPoints: { extension: 'src/extension.ts' },
      external: ['vscode'],
      plugins: [loadLater],
      supported: { 'dynamic-import': false },
    }),
    build({
      ...node,
      outdir: `${outdir}/lib`,
      entryPoints: Object.fromEntries(Object.entries(later).map(([name, file]) => [file, name])),
    }),
    build({
      ...node,
      outdir,
      entryPoints: {
        cli: 'src/engine/cli.ts',
        worker: 'src/engine/training/worker.ts',
        probe: 'src/runtime/probeMain.ts',
      },
      define: { LORA_VERSION: JSON.stringify(version) },
    }),
    build({
      ...node,
      outdir,
      entryPoints: { 'tfjs-node': 'lora:tfjs-node' },
      plugins: [tfjsNode],
      logOverride: { 'direct-eval': 'silent' },
    }),
    build({
      ...node,
      outfile: 'dist/tfjs-wasm.js',
      stdin: { contents: tfjsWasm, resolveDir: root },
    }),
    build({ ...pageBuild, outdir: `${outdir}/webview`, minify: true }),
    writeSchema().then(writeRecipeDocs),
    writeModelDocs(),
  ]);
  for (const name of readdirSync(wasmPackage).filter((file) => file.endsWith('.wasm')))
    copyFileSync(path.join(wasmPackage, name), path.join(dist, name));
}

/** Installer and build share their code: it is bundled to be run here. */
async function nativeParts() {
  const outfile = path.join(modules, '.cache', 'lora', 'compileBinding.cjs');
  await build({ ...node, minify: false, entryPoints: ['src/runtime/compileBinding.ts'], outfile });
  const {
    default: { buildRuntime, defaultRuntimeHome },
  } = await import(pathToFileURL(outfile).href);
  let shown = '';
  const onProgress = ({ message, fraction }) => {
    const line = fraction === null ? message : `${message} ${10 * Math.floor(10 * fraction)} %`;
    if (line !== shown) console.log(`  ${(shown = line)}`);
  };
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  const runtime = await buildRuntime(
    { dist, home: defaultRuntimeHome() },
    {
      binding: path.join(modules, '@tensorflow', 'tfjs-node', 'binding'),
      kernels: path.join(root, 'src', 'runtime', 'kernels'),
      nodeApi: path.join(modules, 'node-api-headers', 'include'),
    },
    { signal: controller.signal, onProgress, log: (line) => line && console.log(`  ${line}`) },
  );
  console.log(
    `  runtime: ${runtime.kind === 'tensorflow' ? `libtensorflow ${runtime.tensorflow_version} on ${runtime.device}` : runtime.why}`,
  );
}

try {
  mkdirSync(dist, { recursive: true });
  await bundle();
  if (!process.argv.includes('--bundles')) await nativeParts();
} catch (error) {
  console.error(error.describe?.() ?? error);
  process.exit(1);
}
