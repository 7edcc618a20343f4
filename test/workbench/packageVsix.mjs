import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { root } from './workspace.mjs';

/** What the package is made of. */
const SOURCES = [
  ...['src', 'webview', 'engine', 'examples', 'l10n', 'media', 'scripts'],
  ...['package.json', 'package-lock.json', 'package.nls.json', 'package.nls.de.json'],
  ...['.vscodeignore', 'README.md', 'CHANGELOG.md', 'LICENSE', 'SECURITY.md'],
];

/** The extension's own packages; its companion's are left alone. */
const packages = () =>
  readdirSync(root)
    .filter((file) => /^lora-workbench-(?!runtime-).*\.vsix$/.test(file))
    .map((file) => path.join(root, file));

/**
 * Returns the path of the extension's package: that of `npm test`, whose test files run beside each
 * other and may not build it; else one which is built unless it is newer than all that it is made
 * of.
 */
export function packageVsix() {
  if (process.env.LORA_TEST_PACKAGE) return process.env.LORA_TEST_PACKAGE;
  const [built, ...others] = packages();
  if (built && others.length === 0 && statSync(built).mtimeMs > newestChange()) return built;
  for (const file of packages()) rmSync(file);
  const { status, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'scripts', 'package.mjs')],
    { cwd: root, encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return packages()[0];
}

/** When a source was changed last, in milliseconds since 1970. A folder changes with its names. */
function newestChange() {
  const files = SOURCES.flatMap((name) => {
    const source = path.join(root, name);
    if (!statSync(source).isDirectory()) return [source];
    const names = readdirSync(source, { recursive: true });
    return [source, ...names.map((below) => path.join(source, below))];
  });
  return files.reduce((newest, file) => Math.max(newest, statSync(file).mtimeMs), 0);
}
