// npm run package: builds, then makes the .vsix of this platform at the root. It
// contains the compiled binding, so that installing it needs no compiler. Beside it the list of the
// bundled packages (.cdx.json, CycloneDX).
import { createVSIX } from '@vscode/vsce';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const MAX_BYTES = 6_000_000;
const root = path.resolve(import.meta.dirname, '..');
const { name, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const target = `${process.platform}-${process.arch}`;

const { status } = spawnSync(
  process.execPath,
  [path.join(root, 'scripts', 'build.mjs'), '--notices'],
  {
    stdio: 'inherit',
  },
);
if (status !== 0) process.exit(status ?? 1);

if (!existsSync(path.join(root, 'dist', 'binding', target)))
  console.log(`  no binding for ${target}: this .vsix trains on WebAssembly`);
const packagePath = path.join(root, `${name}-${target}-${version}.vsix`);
await createVSIX({
  cwd: root,
  packagePath,
  target,
  ignoreOtherTargetFolders: true,
  dependencies: false,
  allowMissingRepository: true,
  rewriteRelativeLinks: false,
});

copyFileSync(
  path.join(root, 'dist', 'bom.json'),
  path.join(root, `${name}-${target}-${version}.cdx.json`),
);
const { size } = statSync(packagePath);
console.log(`${path.basename(packagePath)}: ${(size / 1e6).toFixed(2)} MB`);
if (size > MAX_BYTES) {
  console.error(
    `The package is larger than ${MAX_BYTES / 1e6} MB: check its contents with npx vsce ls.`,
  );
  process.exit(1);
}
