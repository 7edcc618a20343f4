// Writes media/lora.schema.json from the recipe's schema in src/shared/recipe.ts.
import { build } from 'esbuild';
import { readFileSync, writeFileSync } from 'node:fs';
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

/** Writes docs/recipe.md: every key with its default and what it means. */
export function writeRecipeDocs() {
  const schema = JSON.parse(readFileSync(path.join(root, 'media', 'lora.schema.json'), 'utf8'));
  const rows = (properties, prefix = '') => Object.entries(properties).filter(([key]) => !key.startsWith('$')).flatMap(([key, value]) => (value.properties
    ? [`| **\`${prefix}${key}\`** | | ${value.description} |`, ...rows(value.properties, `${prefix}${key}.`)]
    : [`| \`${prefix}${key}\` | ${schema.required.includes(prefix + key) ? 'required' : `\`${JSON.stringify(value.default)}\``} | ${value.description} |`]));
  writeFileSync(path.join(root, 'docs', 'recipe.md'), `# The recipe

A run is described by a \`lora.json\` (or \`NAME.lora.json\`): JSON, with comments and trailing commas allowed. Relative paths start at its folder.
An unknown key is an error that names the nearest known one. This table is made from the schema that the editor uses.

| key | default | |
|---|---|---|
${rows(schema.properties).join('\n')}
`);
}
