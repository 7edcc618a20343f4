// The companion extension: a .vsix without code that carries the pinned libraries of one platform.
import { createVSIX } from '@vscode/vsce';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { tsImport } from 'tsx/esm/api';

const { COMPANION_LIBRARIES, COMPANION_VERSION, companionPackage } = await tsImport(
  '../src/runtime/companion.ts',
  import.meta.url,
);
const { COMPANION_ID, COMPANION_NAME, TENSORFLOW_VERSION } = await tsImport(
  '../src/runtime/pins.ts',
  import.meta.url,
);
const { unzip } = await tsImport('../src/runtime/zip.ts', import.meta.url);

const root = path.resolve(import.meta.dirname, '..');
const [PUBLISHER, NAME] = COMPANION_ID.split('.');
const MAIN = 'main.js';
/** The licences in wheels, by their package. That of TensorFlow itself is not in its wheel. */
const NOTICES = /^tensorflow\/THIRD_PARTY_NOTICES\.txt$|\.dist-info\/licenses\/LICENSE$/;

/**
 * Makes the companion of a platform from its wheels, which are checked already. Gives the path of
 * the .vsix.
 * @throws {Error} when a library is missing in the wheels or has not its pinned SHA-256.
 */
export async function packageRuntime({ platform, pin, wheels, folder }) {
  const temp = mkdtempSync(path.join(tmpdir(), 'lora-runtime-package-'));
  try {
    const notices = await unpack(wheels, pin, temp);
    await checkLibraries(pin, temp);
    writeFileSync(path.join(temp, 'package.json'), manifestFor(platform));
    writeFileSync(path.join(temp, 'README.md'), readmeFor(platform));
    writeFileSync(path.join(temp, MAIN), '// This extension has no code.\n');
    copyFileSync(
      path.join(root, 'scripts', 'licences', 'Apache-2.0.txt'),
      path.join(temp, 'LICENSE.txt'),
    );
    writeFileSync(path.join(temp, 'ThirdPartyNotices.txt'), notices);
    const packagePath = path.join(folder, companionPackage(platform));
    await createVSIX({
      cwd: temp,
      packagePath,
      target: platform,
      dependencies: false,
      allowMissingRepository: true,
      rewriteRelativeLinks: false,
      // libraries of a gigabyte, and a manifest that is made here: nothing in it can be a secret
      allowPackageAllSecrets: true,
      allowPackageEnvFile: true,
    });
    return packagePath;
  } finally {
    rmSync(temp, { recursive: true });
  }
}

/** Unpacks the libraries; gives the text of the notices. */
async function unpack(wheels, pin, temp) {
  const target = path.join(temp, COMPANION_LIBRARIES);
  mkdirSync(target);
  const { signal } = new AbortController();
  const found = [];
  const texts = [INTRODUCTION];
  for (const [i, wheel] of wheels.entries()) {
    const notice = path.join(temp, `notice-${i}`);
    const placeOf = (entry) => {
      if (NOTICES.test(entry)) return notice;
      const name = pin.libraries[entry];
      return name === undefined ? null : path.join(target, name);
    };
    found.push(...(await unzip(wheel, placeOf, signal, { isFlushed: false })));
    const { package: name, version } = pin.wheels[i];
    const text = readFileSync(notice, 'utf8').replaceAll('\r\n', '\n').trim();
    texts.push(`${name} ${version}\n\n${text}`);
    rmSync(notice);
  }
  const missing = Object.keys(pin.libraries).filter((entry) => !found.includes(entry));
  if (missing.length > 0) throw new Error(`The wheels do not contain ${missing.join(' and ')}.`);
  return `${texts.join(`\n\n${'-'.repeat(72)}\n\n`)}\n`;
}

async function checkLibraries(pin, temp) {
  for (const name of Object.values(pin.libraries)) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path.join(temp, COMPANION_LIBRARIES, name)), hash);
    const sha256 = hash.digest('hex');
    const expected = pin.library_sha256?.[name];
    if (sha256 !== expected)
      throw new Error(`${name} has the sha256 ${sha256}; src/runtime/pins.ts has ${expected}.`);
  }
}

const manifestFor = (platform) =>
  `${JSON.stringify(
    {
      name: NAME,
      displayName: COMPANION_NAME,
      description: `TensorFlow's libraries for LoRA Workbench on ${platform}: trains without a download, a compiler or Python.`,
      version: COMPANION_VERSION,
      publisher: PUBLISHER,
      // on Windows also Microsoft's C++ library, which has terms of its own
      license: platform.startsWith('win32') ? 'SEE LICENSE IN ThirdPartyNotices.txt' : 'Apache-2.0',
      engines: JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).engines,
      categories: ['Machine Learning'],
      // without one it would count as an extension for the web
      main: `./${MAIN}`,
      activationEvents: [],
      files: [`${COMPANION_LIBRARIES}/**`, MAIN, '*.txt', 'README.md'],
      extensionKind: ['workspace'],
      capabilities: { untrustedWorkspaces: { supported: true }, virtualWorkspaces: true },
      loraRuntime: { platform, tensorflow: TENSORFLOW_VERSION },
    },
    null,
    2,
  )}\n`;

const readmeFor = (platform) => `# ${COMPANION_NAME}

The libraries of TensorFlow ${TENSORFLOW_VERSION} for ${platform}, for the extension LoRA Workbench.
With both installed, adapters are trained at full speed without a download, a compiler or Python.

This extension has no code and no settings. LoRA Workbench compares its libraries with the checksums
that it knows before it loads them for the first time, and uses them where they are.
`;

const INTRODUCTION = `${COMPANION_NAME} contains these libraries, unchanged, from the published wheels of

TensorFlow ${TENSORFLOW_VERSION}, Copyright The TensorFlow Authors, under the Apache License 2.0 (LICENSE.txt).

The texts below came with the wheels: of the code in TensorFlow, and of libraries beside it.`;
