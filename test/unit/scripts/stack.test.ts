import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { mapStack } from '../../../scripts/stack.mjs';
import { temp } from '../../support/temp';

it('a stack trace of a minified bundle is mapped to the lines of its sources', async () => {
  const folder = temp();
  const source = path.join(folder, 'engine.ts');
  writeFileSync(
    source,
    '// a comment\nfunction load(): void {\n  throw new Error("broken");\n}\n\nload();\n',
  );
  await build({
    entryPoints: { 'dist/lib/engine': source },
    outdir: folder,
    bundle: true,
    minify: true,
    sourcemap: 'external',
    sourcesContent: false,
  });
  const bundle = path.join(folder, 'dist/lib/engine.js');
  const { stderr } = spawnSync(process.execPath, [bundle], { encoding: 'utf8' });
  expect(stderr).toMatch(/engine\.js:1:\d+/);
  const mapped = mapStack(stderr, path.join(folder, 'dist'));
  expect(mapped).toMatch(/\(engine\.ts:3:9\)/);
  expect(mapped).toMatch(/at engine\.ts:6:1/);
  expect(mapped).toContain('node:internal/modules');
});

it('a position without a source map is not changed', () => {
  const line = '    at f (/x/dist/other.js:1:20)';
  expect(mapStack(line, '/nowhere')).toBe(line);
});
