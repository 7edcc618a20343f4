// Writes media/lora.schema.json from the recipe's schema in src/shared/recipe.ts.
import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

export async function writeSchema() {
  const { outputFiles } = await build({
    absWorkingDir: root, entryPoints: ['src/host/recipe/jsonSchema.ts'], bundle: true, platform: 'node', format: 'cjs', write: false, logLevel: 'warning',
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(module, module.exports, createRequire(import.meta.url));
  writeFileSync(path.join(root, 'media', 'lora.schema.json'), `${JSON.stringify(module.exports.recipeJsonSchema(), null, 2)}\n`);
}
