// Writes media/lora.schema.json, docs/recipe.md and docs/models.md from what the code says.
import { build } from 'esbuild';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

/** A module of src as it is now. */
async function load(entry) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    write: false,
    logLevel: 'warning',
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(
    module,
    module.exports,
    createRequire(import.meta.url),
  );
  return module.exports;
}

export async function writeSchema() {
  const { recipeJsonSchema } = await load('src/host/recipe/jsonSchema.ts');
  writeFileSync(
    path.join(root, 'media', 'lora.schema.json'),
    `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`,
  );
}

const TASKS = {
  causal_lm: 'language model',
  seq_cls: 'sequence classification',
  token_cls: 'token classification',
  image_cls: 'image classification',
  embedding: 'sentence embedding',
};

/**
 * Writes docs/models.md: the architecture table, and the fixtures that hold each family against
 * PEFT.
 */
export async function writeModelDocs() {
  const { FAMILIES } = await load('src/formats/architecture/families/index.ts');
  const { GGUF_FAMILIES } = await load('src/formats/gguf/families.ts');
  const fixtures = path.join(root, 'test', 'fixtures');
  const checked = new Map();
  for (const name of readdirSync(fixtures).sort()) {
    const config = path.join(fixtures, name, 'base', 'config.json');
    if (!existsSync(config)) continue;
    const { model_type } = JSON.parse(readFileSync(config, 'utf8'));
    checked.set(model_type, [...(checked.get(model_type) ?? []), name]);
  }
  const rows = Object.entries(FAMILIES).map(
    ([name, { tasks }]) =>
      `| \`${name}\` | ${tasks.map((task) => TASKS[task]).join(', ')} | ${(checked.get(name) ?? []).join(', ')} |`,
  );
  writeFileSync(
    path.join(root, 'docs', 'models.md'),
    `# Models

What \`model_type\` in a base's config.json may say, the heads that are known for it, and the fixtures under \`test/fixtures\` in which its logits, losses and gradients
are held against transformers and PEFT (\`test/parity/cases.test.ts\`). Besides, SmolLM2-135M-Instruct and all-MiniLM-L6-v2 are checked with their real weights.
This table is made from the architecture table by \`npm run build\`.

\`lora train\` trains each head: the recipe's \`task\` says which (\`causal_lm\`, \`seq_cls\`, \`token_cls\`, \`image_cls\`, \`embedding\`). GGUF files are read of the
architectures ${Object.keys(GGUF_FAMILIES).join(', ')} (Mistral is a llama there), in F32, F16, BF16, Q2_K to Q8_0, IQ4_NL and IQ4_XS.

| model_type | heads | checked by |
|---|---|---|
${rows.join('\n')}

Adapters: LoRA, rsLoRA, DoRA, rank_pattern, alpha_pattern, layers_to_transform, exclude_modules, modules_to_save, biases, embeddings and output layers, Conv1D, patch convolutions,
fused projections; starts by default, gaussian, orthogonal, OLoRA, PiSSA. Refused by name: other kinds of adapters (IA3, LoHa, prompt tuning …), mixtures of experts, encoder-decoders,
recurrent models, and weights that are quantised in safetensors files.
`,
  );
}

/** Writes docs/recipe.md: every key with its default and what it means. */
export function writeRecipeDocs() {
  const schema = JSON.parse(readFileSync(path.join(root, 'media', 'lora.schema.json'), 'utf8'));
  const rows = (properties, prefix = '') =>
    Object.entries(properties)
      .filter(([key]) => !key.startsWith('$'))
      .flatMap(([key, value]) =>
        value.properties
          ? [
              `| **\`${prefix}${key}\`** | | ${value.description} |`,
              ...rows(value.properties, `${prefix}${key}.`),
            ]
          : [
              `| \`${prefix}${key}\` | ${schema.required.includes(prefix + key) ? 'required' : `\`${JSON.stringify(value.default)}\``} | ${value.description} |`,
            ],
      );
  writeFileSync(
    path.join(root, 'docs', 'recipe.md'),
    `# The recipe

A run is described by a \`lora.json\` (or \`NAME.lora.json\`): JSON, with comments and trailing commas allowed. Relative paths start at its folder.
An unknown key is an error that names the nearest known one. This table is made from the schema that the editor uses.

| key | default | |
|---|---|---|
${rows(schema.properties).join('\n')}
`,
  );
}
