import { symbols as nodeSymbols } from 'node-api-headers';
import path from 'node:path';
import { check, dist, homeOf, install, PLATFORM_PINS } from './checks.mjs';
import { readMachO } from './machO.mjs';

const platform = 'darwin-arm64';

/** Not run: symbols, versions and signature of the binding against the libraries. */
export async function darwinArm64() {
  const home = await homeOf(platform);
  const folder = path.join(home, `tensorflow-2.18.1-${platform}`);
  await install(platform, home, () =>
    Promise.resolve({ tensorflow_version: '2.18.1', device: 'cpu', bf16: 'slow' }),
  );
  const binding = readMachO(path.join(dist, 'binding', platform, 'tfjs_binding.node'));
  const libraries = Object.values(PLATFORM_PINS[platform].libraries).map((name) =>
    readMachO(path.join(folder, name)),
  );
  const inLibraries = (symbol, library) =>
    libraries.some(({ own, exported }) => own.name === library && exported.has(symbol));
  const nodeApi = new Set(
    Object.values(nodeSymbols).flatMap((version) =>
      [...version.js_native_api_symbols, ...version.node_api_symbols].map((name) => `_${name}`),
    ),
  );
  const isSystem = (library) => library.startsWith('/usr/lib/');
  const missing = binding.undefinedSymbols.filter(({ name, library }) => {
    if (library === null) return !nodeApi.has(name);
    return !isSystem(library) && !inLibraries(name, library);
  });
  check(
    `${platform}: every symbol is in the library that it is bound to, or in Node`,
    missing.length === 0,
    missing.map(({ name, library }) => `${name} (${library})`).join(', '),
  );
  const used = binding.undefinedSymbols.filter(({ library }) => library?.includes('tensorflow'));
  check(`${platform}: symbols of TensorFlow are bound`, used.length > 60, String(used.length));
  const refused = binding.libraries.filter(({ name, compatibility }) => {
    const present = libraries.find(({ own }) => own.name === name);
    return present ? compatibility > present.own.compatibility : !isSystem(name);
  });
  check(
    `${platform}: the versions of the libraries are accepted`,
    refused.length === 0,
    refused.map(({ name }) => name).join(', '),
  );
  check(`${platform}: the binding is signed`, binding.isSigned);
}
