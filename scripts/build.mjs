// npm run build: bundles the extension, the engine and the pages into dist/, compiles the native
// binding, installs the runtime.
//   --bundles   the bundles only
//   --all-bindings  also compiles the bindings of the other platforms (npm run package -- --all)
//   --notices   also writes the licences and the list of the bundled packages (npm run package)
//   --watch     (npm run dev) bundles for the debugger, written again when a source changes
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { watchBundles, writeBundles } from './bundles.mjs';
import { bomOf, bundledPackages, noticesOf } from './thirdParty.mjs';
import { writeModelDocs, writeRecipeDocs, writeSchema } from './schema.mjs';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');
const modules = path.join(root, 'node_modules');
const isChosen = (option) => process.argv.includes(option);

/** Compiles the binding and installs the runtime by the extension's own code. */
async function nativeParts() {
  const { buildRuntime, buildBindings, COMPILED_PLATFORMS } = await tsImport(
    '../src/runtime/binding/buildRuntime.ts',
    import.meta.url,
  );
  const { defaultRuntimeHome } = await tsImport('../src/runtime/findRuntime.ts', import.meta.url);
  const log = (line) => line && console.log(`  ${line}`);
  let shown = '';
  const onProgress = ({ message, fraction }) => {
    const line = fraction === null ? message : `${message} ${10 * Math.floor(10 * fraction)} %`;
    if (line !== shown) log(line);
    shown = line;
  };
  const controller = new AbortController();
  const cancel = () => controller.abort();
  process.once('SIGINT', cancel);
  const request = {
    runtime: { dist, home: defaultRuntimeHome() },
    sources: {
      binding: path.join(modules, '@tensorflow', 'tfjs-node', 'binding'),
      kernels: path.join(root, 'src', 'runtime', 'kernels'),
      nodeApi: path.join(modules, 'node-api-headers', 'include'),
      own: path.join(root, 'src', 'runtime', 'binding'),
    },
    options: { signal: controller.signal, onProgress, log },
  };
  if (isChosen('--all-bindings')) await buildBindings(request, COMPILED_PLATFORMS);
  const runtime = await buildRuntime(request);
  process.off('SIGINT', cancel);
  log(
    runtime.kind === 'tensorflow'
      ? `runtime: libtensorflow ${runtime.tensorflow_version} on ${runtime.device}`
      : `runtime: ${runtime.why}`,
  );
}

async function writeDocs() {
  await Promise.all([writeSchema(), writeModelDocs()]);
  writeRecipeDocs();
}

/** ThirdPartyNotices.txt, which is packaged, and dist/bom.json. */
function writeThirdParty(metafiles) {
  const packages = bundledPackages(metafiles);
  const extension = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  writeFileSync(path.join(root, 'ThirdPartyNotices.txt'), noticesOf(packages));
  const bom = `${JSON.stringify(bomOf(packages, extension), null, 2)}\n`;
  writeFileSync(path.join(dist, 'bom.json'), bom);
}

try {
  if (isChosen('--watch')) {
    console.log('Building');
    await nativeParts();
    await watchBundles(dist);
    console.log('Watching');
  } else {
    const [metafiles] = await Promise.all([writeBundles(dist), writeDocs()]);
    if (isChosen('--notices')) writeThirdParty(metafiles);
    if (!isChosen('--bundles')) await nativeParts();
  }
} catch (error) {
  console.error(error.describe?.() ?? error);
  process.exit(1);
}
