// npm run package: builds, then makes the .vsix of this platform at the root. It contains the
// compiled binding, so that installing it needs no compiler. Beside it lies the list of the bundled
// packages (.cdx.json, CycloneDX).
//   --all   a .vsix for each platform with a binding, and one without any for all others
//   --runtime [PLATFORM…|--all]   instead the companion of these platforms, or of this one: a .vsix
//           with the runtime's libraries, from wheels that are downloaded once
import { createVSIX } from '@vscode/vsce';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';

const MAX_BYTES = 6_000_000;
const root = path.resolve(import.meta.dirname, '..');
const { name, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const isForAll = process.argv.includes('--all');

/** As VS Code names them. */
const NATIVE = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64'];
const hasBinding = (target) => existsSync(path.join(root, 'dist', 'binding', target));

function build() {
  const options = ['--notices', ...(isForAll ? ['--all-bindings'] : [])];
  const script = path.join(root, 'scripts', 'build.mjs');
  const { status } = spawnSync(process.execPath, [script, ...options], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Undefined: for the platforms that have no .vsix of their own. They train on WebAssembly. */
async function packageFor(target) {
  const label = target ? `${name}-${target}-${version}` : `${name}-${version}`;
  const packagePath = path.join(root, `${label}.vsix`);
  const temp = mkdtempSync(path.join(tmpdir(), 'lora-package-'));
  try {
    const ignoreFile = path.join(temp, 'vscodeignore');
    writeFileSync(ignoreFile, contentsFor(target));
    await createVSIX({
      cwd: root,
      packagePath,
      ...(target && { target }),
      ignoreFile,
      dependencies: false,
      allowMissingRepository: true,
      rewriteRelativeLinks: false,
    });
  } finally {
    rmSync(temp, { recursive: true });
  }
  copyFileSync(path.join(root, 'dist', 'bom.json'), path.join(root, `${label}.cdx.json`));
  checkSize(packagePath);
}

/** .vscodeignore with the binding of one platform, or none. */
function contentsFor(target) {
  const common = readFileSync(path.join(root, '.vscodeignore'), 'utf8');
  return target && hasBinding(target) ? `${common}!dist/binding/${target}/*\n` : common;
}

/** Prints and returns the bytes of a package. */
function sizeOf(packagePath) {
  const { size } = statSync(packagePath);
  console.log(`${path.basename(packagePath)}: ${(size / 1e6).toFixed(2)} MB`);
  return size;
}

function checkSize(packagePath) {
  const size = sizeOf(packagePath);
  if (size <= MAX_BYTES) return;
  console.error(
    `The package is larger than ${MAX_BYTES / 1e6} MB: check its contents with npx vsce ls.`,
  );
  process.exit(1);
}

/** The companions of platforms, from wheels that are kept in the user's cache. */
async function packageRuntimes(platforms) {
  const { PLATFORM_PINS } = await tsImport('../src/runtime/pins.ts', import.meta.url);
  const { provideWheel } = await tsImport(
    '../src/runtime/binding/provideWheel.ts',
    import.meta.url,
  );
  const { defaultRuntimeHome } = await tsImport('../src/runtime/findRuntime.ts', import.meta.url);
  const { packageRuntime } = await import('./runtimePackage.mjs');
  const unknown = platforms.find((platform) => PLATFORM_PINS[platform] === undefined);
  if (unknown !== undefined)
    throw new Error(`There is no runtime for ${unknown}, only for ${NATIVE.join(', ')}.`);
  const runtime = { home: defaultRuntimeHome(), url: process.env.LORA_RUNTIME_URL };
  let shown = '';
  const options = {
    signal: new AbortController().signal,
    log: (line) => line && console.log(`  ${line}`),
    onProgress: ({ message }) => {
      if (message !== shown) console.log(`  ${message}`);
      shown = message;
    },
  };
  for (const platform of platforms) {
    const pin = PLATFORM_PINS[platform];
    const wheels = [];
    for (const own of pin.wheels)
      wheels.push(await provideWheel(own, { runtime, env: process.env, options }));
    sizeOf(await packageRuntime({ platform, pin, wheels, folder: root }));
  }
}

async function packageExtension() {
  build();
  if (!isForAll && !hasBinding(own))
    console.log(`  no binding for ${own}: this .vsix trains on WebAssembly`);
  for (const target of isForAll ? [...NATIVE, undefined] : [own]) await packageFor(target);
}

const own = `${process.platform}-${process.arch}`;
try {
  if (process.argv.includes('--runtime')) {
    const named = process.argv.slice(2).filter((option) => !option.startsWith('--'));
    const chosen = named.length > 0 ? named : [own];
    await packageRuntimes(isForAll ? NATIVE : chosen);
  } else await packageExtension();
} catch (error) {
  console.error(error.describe?.() ?? error);
  process.exit(1);
}
