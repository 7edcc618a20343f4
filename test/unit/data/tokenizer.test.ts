import { createRequire } from 'node:module';
import path from 'node:path';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { temp } from '../../support/temp';

it("is bundled by esbuild's defaults for other programs", async () => {
  const outfile = path.join(temp(), 'tokenizer.cjs');
  await build({
    entryPoints: [path.resolve('src/data/tokenizer.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile,
  });
  const load = createRequire(import.meta.url);
  expect(load(outfile)).toHaveProperty('createTokenizer', expect.any(Function));
});
