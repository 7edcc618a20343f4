// What runs in the emulators, each in one file: tests of this repository, and the extension's code.
import { build } from 'esbuild';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const emulated = path.join(import.meta.dirname, 'emulated');

/** `pathOf`: a path as the emulated system writes it. */
export async function bundleFor({ pathOf }, entry, folder) {
  const outfile = path.join(folder, `${path.basename(entry, '.ts').replace('.test', '')}.js`);
  await build({
    entryPoints: [path.join(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    keepNames: true,
    absWorkingDir: root,
    logLevel: 'warning',
    alias: {
      'jsonc-parser': 'jsonc-parser/lib/esm/main.js',
      vitest: path.join(emulated, 'vitest.ts'),
      vscode: path.join(emulated, 'vscode.ts'),
    },
    // the tests look for fixtures beside their folder, which they all do from the same depth
    define: { 'import.meta.dirname': JSON.stringify(pathOf(path.join(root, 'test', 'parity'))) },
    logOverride: { 'empty-import-meta': 'silent' },
  });
  return outfile;
}
